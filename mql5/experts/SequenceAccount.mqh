// How the account stands, for the heartbeat: this expert's open positions, and what the broker says of each symbol.
#include "SequenceTicks.mqh"

#define SEQ_MOST_POSITIONS 1000

// The open positions of a magic number as JSON. Times are the broker's less its offset of now: a position that was
// opened before a change of the broker's summer time is told an hour off.
string SeqPositions(const long magic, const CSeqTicks &ticks, const long offset)
  {
   string text = "";
   int told = 0;
   for(int i = PositionsTotal() - 1; i >= 0 && told < SEQ_MOST_POSITIONS; i--)
     {
      ulong ticket = PositionGetTicket(i);
      if(ticket == 0 || PositionGetInteger(POSITION_MAGIC) != magic)
         continue;
      string symbol = PositionGetString(POSITION_SYMBOL);
      bool bought = PositionGetInteger(POSITION_TYPE) == POSITION_TYPE_BUY;
      StringAdd(text, told > 0 ? ",{" : "{");
      StringAdd(text, "\"ticket\":" + IntegerToString((long)ticket));
      StringAdd(text, ",\"symbol\":" + SeqJson(ticks.NameOf(symbol)));
      StringAdd(text, ",\"side\":" + (bought ? "\"long\"" : "\"short\""));
      StringAdd(text, ",\"volume\":" + SeqNumber(PositionGetDouble(POSITION_VOLUME), 8));
      StringAdd(text, ",\"price\":" + SeqNumber(PositionGetDouble(POSITION_PRICE_OPEN), 8));
      StringAdd(text, ",\"sl\":" + SeqPrice(PositionGetDouble(POSITION_SL), 8));
      StringAdd(text, ",\"tp\":" + SeqPrice(PositionGetDouble(POSITION_TP), 8));
      StringAdd(text, ",\"profit\":" + SeqNumber(PositionGetDouble(POSITION_PROFIT), 2));
      StringAdd(text, ",\"opened_ms\":" + IntegerToString(PositionGetInteger(POSITION_TIME_MSC) - offset * 1000));
      StringAdd(text, ",\"comment\":" + SeqJson(PositionGetString(POSITION_COMMENT)) + "}");
      told++;
     }
   return("[" + text + "]");
  }

// What the broker says of the streamed symbols, as JSON.
string SeqSpecs(const CSeqTicks &ticks)
  {
   string text = "";
   for(int i = 0; i < ticks.Feeds(); i++)
     {
      string symbol = ticks.Symbol(i);
      double point = SymbolInfoDouble(symbol, SYMBOL_POINT);
      MqlTick tick;
      bool quoted = SymbolInfoTick(symbol, tick) && tick.bid > 0.0 && tick.ask >= tick.bid && point > 0.0;
      StringAdd(text, i > 0 ? ",{" : "{");
      StringAdd(text, "\"symbol\":" + SeqJson(ticks.Name(i)));
      StringAdd(text, ",\"digits\":" + IntegerToString(SymbolInfoInteger(symbol, SYMBOL_DIGITS)));
      StringAdd(text, ",\"point\":" + SeqNumber(point, 10));
      StringAdd(text, ",\"volume_min\":" + SeqNumber(SymbolInfoDouble(symbol, SYMBOL_VOLUME_MIN), 8));
      StringAdd(text, ",\"volume_max\":" + SeqNumber(SymbolInfoDouble(symbol, SYMBOL_VOLUME_MAX), 8));
      StringAdd(text, ",\"volume_step\":" + SeqNumber(SymbolInfoDouble(symbol, SYMBOL_VOLUME_STEP), 8));
      StringAdd(text, ",\"contract_size\":" + SeqNumber(SymbolInfoDouble(symbol, SYMBOL_TRADE_CONTRACT_SIZE), 4));
      StringAdd(text, ",\"tick_value\":" + SeqNumber(SymbolInfoDouble(symbol, SYMBOL_TRADE_TICK_VALUE), 10));
      StringAdd(text, ",\"tick_size\":" + SeqNumber(SymbolInfoDouble(symbol, SYMBOL_TRADE_TICK_SIZE), 10));
      StringAdd(text, ",\"spread_points\":" + (quoted ? SeqNumber((tick.ask - tick.bid) / point, 1) : "null"));
      StringAdd(text, ",\"stops_level\":" + IntegerToString(SymbolInfoInteger(symbol, SYMBOL_TRADE_STOPS_LEVEL)) + "}");
     }
   return("[" + text + "]");
  }
