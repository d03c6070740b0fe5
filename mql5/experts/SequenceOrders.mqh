// The broker's side of a signal: what must hold before an order, the order itself, and looking for it afterwards.
#include <Trade\Trade.mqh>
#include "SequenceSignals.mqh"

// The expert's own limits; no signal can go beyond them.
struct SeqLimits
  {
   bool              trade;
   bool              allow_real;
   double            lots;            // where the signal names none
   double            max_lots;
   int               max_positions;   // of this magic number
   int               max_spread;      // points, 0 for any
   int               max_age;         // seconds
   int               deviation;       // points
   long              magic;
  };

#define SEQ_ATTEMPTS     3
#define SEQ_LOOK_MS      10000
#define SEQ_STOP_NAME    "SequenceBridge.stop"

class CSeqOrders
  {
private:
   CTrade            m_trade;
   SeqLimits         m_limits;
   bool              m_stopped;   // by the kill switch of Sequence, as its bridge said last

public:
                     CSeqOrders(void) : m_stopped(false) {}

   void              Init(const SeqLimits &limits)
     {
      m_limits = limits;
      m_trade.SetExpertMagicNumber((ulong)limits.magic);
      m_trade.SetDeviationInPoints((ulong)limits.deviation);
      m_trade.SetAsyncMode(false);
      m_trade.LogLevel(LOG_LEVEL_ERRORS);
     }

   void              Stop(const bool stopped) { m_stopped = stopped; }
   bool              Stopped(void) const { return(m_stopped); }

   // Whether the terminal's own kill switch is set.
   bool              Halted(void) const
     {
      return(GlobalVariableCheck(SEQ_STOP_NAME) && GlobalVariableGet(SEQ_STOP_NAME) != 0.0);
     }

   // Why nothing is entered now; empty when it may be. Under Sequence's kill switch a CLOSE goes on working.
   string            NoEntries(void) const
     {
      string forbidden = Forbidden();
      if(StringLen(forbidden) == 0 && m_stopped)
         return("kill switch of Sequence");
      return(forbidden);
     }

   // Why nothing at all is traded now; empty when trading is permitted.
   string            Forbidden(void) const
     {
      if(!m_limits.trade)
         return("InpTrade is false: ticks only");
      if(Halted())
         return("kill switch: the global variable " + SEQ_STOP_NAME + " is set");
      if(AccountInfoInteger(ACCOUNT_TRADE_MODE) == ACCOUNT_TRADE_MODE_REAL && !m_limits.allow_real)
         return("a real account, and InpAllowReal is false");
      if(TerminalInfoInteger(TERMINAL_TRADE_ALLOWED) == 0)
         return("algorithmic trading is off in the terminal");
      if(MQLInfoInteger(MQL_TRADE_ALLOWED) == 0)
         return("algorithmic trading is off for this expert");
      if(AccountInfoInteger(ACCOUNT_TRADE_ALLOWED) == 0 || AccountInfoInteger(ACCOUNT_TRADE_EXPERT) == 0)
         return("the broker does not let this account trade by expert");
      return("");
     }

   int               Positions(void) const
     {
      int found = 0;
      for(int i = PositionsTotal() - 1; i >= 0; i--)
         if(PositionGetTicket(i) > 0 && PositionGetInteger(POSITION_MAGIC) == m_limits.magic)
            found++;
      return(found);
     }

   // Why a signal must not be executed, ever; empty when it may. `now` is seconds UTC by the bridge's clock.
   string            Objection(const SeqSignal &signal, const string symbol, const long now) const
     {
      string forbidden = signal.side == "CLOSE" ? Forbidden() : NoEntries();
      if(StringLen(forbidden) > 0)
         return(forbidden);
      if(signal.valid_until > 0 && now > signal.valid_until)
         return(StringFormat("expired %I64d s ago", now - signal.valid_until));
      if(signal.created > 0 && now - signal.created > m_limits.max_age)
         return(StringFormat("%I64d s old, more than InpMaxAge %d", now - signal.created, m_limits.max_age));
      if(StringLen(symbol) == 0)
         return("symbol " + signal.name + " is not among InpSymbols");
      if(signal.side == "CLOSE")
         return("");
      if(signal.side != "BUY" && signal.side != "SELL")
         return("side " + signal.side + " is not known");
      if(Positions() >= m_limits.max_positions)
         return(StringFormat("%d positions are open, InpMaxPositions is %d", Positions(), m_limits.max_positions));
      long mode = SymbolInfoInteger(symbol, SYMBOL_TRADE_MODE);
      if(mode != SYMBOL_TRADE_MODE_FULL && !(mode == SYMBOL_TRADE_MODE_LONGONLY && signal.side == "BUY") &&
         !(mode == SYMBOL_TRADE_MODE_SHORTONLY && signal.side == "SELL"))
         return("the broker does not allow " + signal.side + " of " + symbol);
      string objection = LotsObjection(symbol, Lots(signal, symbol));
      if(StringLen(objection) > 0)
         return(objection);
      return(PriceObjection(signal, symbol));
     }

   // Whether an order could reach the broker now.
   bool              Reachable(const string symbol) const
     {
      MqlTick tick;
      return(TerminalInfoInteger(TERMINAL_CONNECTED) != 0 && SymbolInfoTick(symbol, tick) && tick.bid > 0.0);
     }

   // The positions a CLOSE is about, "12,13"; fixed before the first order, so that none opened later is touched.
   string            TicketsOf(const string symbol) const
     {
      string tickets = "";
      for(int i = PositionsTotal() - 1; i >= 0; i--)
        {
         ulong ticket = PositionGetTicket(i);
         if(ticket > 0 && PositionGetString(POSITION_SYMBOL) == symbol && PositionGetInteger(POSITION_MAGIC) == m_limits.magic)
            StringAdd(tickets, (StringLen(tickets) > 0 ? "," : "") + IntegerToString((long)ticket));
        }
      return(tickets);
     }

   // Sends a BUY or SELL; the outcome is in the signal: SEQ_DONE, SEQ_SAID to try again, SEQ_SENDING to look for it.
   void              Open(SeqSignal &signal, const string symbol)
     {
      int digits = (int)SymbolInfoInteger(symbol, SYMBOL_DIGITS);
      double lots = Lots(signal, symbol);
      double sl = NormalizeDouble(signal.sl, digits);
      double tp = NormalizeDouble(signal.tp, digits);
      m_trade.SetTypeFilling(Filling(symbol));
      ResetLastError();
      if(signal.side == "BUY")
         m_trade.Buy(lots, symbol, 0.0, sl, tp, Mark(signal.id));
      else
         m_trade.Sell(lots, symbol, 0.0, sl, tp, Mark(signal.id));
      signal.order = m_trade.ResultOrder();
      signal.deal = m_trade.ResultDeal();
      signal.price = m_trade.ResultPrice();
      signal.done_volume = m_trade.ResultVolume();
      Judge(signal);
     }

   // Closes those of the signal's positions that are still open.
   void              Close(SeqSignal &signal, const string symbol)
     {
      string tickets[];
      int count = StringSplit(signal.tickets, ',', tickets);
      m_trade.SetTypeFilling(Filling(symbol));
      for(int i = 0; i < count; i++)
        {
         ulong ticket = (ulong)StringToInteger(tickets[i]);
         if(!PositionSelectByTicket(ticket))
            continue;
         ResetLastError();
         m_trade.PositionClose(ticket);
         Judge(signal);
         if(signal.phase != SEQ_DONE || !signal.executed)
            return;
         signal.phase = SEQ_SENDING;
        }
      Found(signal);
     }

   // Looks for the signal's orders at the broker. True when it is settled: the signal is SEQ_DONE then.
   bool              Found(SeqSignal &signal)
     {
      if(!HistorySelect((datetime)(signal.begun - 60), (datetime)((long)TimeTradeServer() + 86400)))
         return(false);
      bool settled = signal.side == "CLOSE" ? AllClosed(signal) : SumDeals(signal, Mark(signal.id), true);
      if(settled)
        {
         signal.executed = true;
         signal.phase = SEQ_DONE;
        }
      return(settled);
     }

   // Whether an order of the signal still lies at the broker, neither filled nor gone.
   bool              Lies(const SeqSignal &signal) const
     {
      for(int i = OrdersTotal() - 1; i >= 0; i--)
         if(OrderGetTicket(i) > 0 && OrderGetInteger(ORDER_MAGIC) == m_limits.magic &&
            OrderGetString(ORDER_COMMENT) == Mark(signal.id))
            return(true);
      return(false);
     }

private:
   string            Mark(const long id) const { return("sig:" + IntegerToString(id)); }

   double            Lots(const SeqSignal &signal, const string symbol) const
     {
      double lots = signal.volume > 0.0 ? signal.volume : m_limits.lots;
      double step = SymbolInfoDouble(symbol, SYMBOL_VOLUME_STEP);
      if(step <= 0.0)
         return(lots);
      return(NormalizeDouble(MathFloor(lots / step + 0.000001) * step, 8));
     }

   string            LotsObjection(const string symbol, const double lots) const
     {
      double least = SymbolInfoDouble(symbol, SYMBOL_VOLUME_MIN);
      double most = SymbolInfoDouble(symbol, SYMBOL_VOLUME_MAX);
      if(lots > m_limits.max_lots + 0.000001)
         return(StringFormat("%.2f lots, InpMaxLots is %.2f", lots, m_limits.max_lots));
      if(lots < least - 0.000001 || lots > most + 0.000001)
         return(StringFormat("%.4f lots, the broker takes %.2f to %.2f", lots, least, most));
      return("");
     }

   // The spread and the stops as the broker will measure them: from the quote at which the position would close.
   string            PriceObjection(const SeqSignal &signal, const string symbol) const
     {
      MqlTick tick;
      if(!SymbolInfoTick(symbol, tick))
         return("no price of " + symbol);
      double point = SymbolInfoDouble(symbol, SYMBOL_POINT);
      double spread = (tick.ask - tick.bid) / point;
      if(m_limits.max_spread > 0 && spread > m_limits.max_spread + 0.000001)
         return(StringFormat("spread %.1f points, InpMaxSpread is %d", spread, m_limits.max_spread));
      long stops = SymbolInfoInteger(symbol, SYMBOL_TRADE_STOPS_LEVEL);
      long freeze = SymbolInfoInteger(symbol, SYMBOL_TRADE_FREEZE_LEVEL);
      long level = stops > freeze ? stops : freeze;
      double distance = (double)level * point - point * 0.000001;
      bool buy = signal.side == "BUY";
      double below = buy ? signal.sl : signal.tp;
      double above = buy ? signal.tp : signal.sl;
      double price = buy ? tick.bid : tick.ask;
      if(below > 0.0 && price - below < distance)
         return(StringFormat("%s %.8g is nearer than %I64d points to %.8g, or beyond it", buy ? "stop" : "target", below, level, price));
      if(above > 0.0 && above - price < distance)
         return(StringFormat("%s %.8g is nearer than %I64d points to %.8g, or beyond it", buy ? "target" : "stop", above, level, price));
      return("");
     }

   // The mode is a set of bits, the filling a number of its own; RETURN is illegal under market execution.
   ENUM_ORDER_TYPE_FILLING Filling(const string symbol) const
     {
      long allowed = SymbolInfoInteger(symbol, SYMBOL_FILLING_MODE);
      long execution = SymbolInfoInteger(symbol, SYMBOL_TRADE_EXEMODE);
      if(execution == SYMBOL_TRADE_EXECUTION_REQUEST || execution == SYMBOL_TRADE_EXECUTION_INSTANT)
         return(ORDER_FILLING_FOK);
      if((allowed & SYMBOL_FILLING_FOK) != 0)
         return(ORDER_FILLING_FOK);
      if((allowed & SYMBOL_FILLING_IOC) != 0)
         return(ORDER_FILLING_IOC);
      return(ORDER_FILLING_RETURN);
     }

   void              Judge(SeqSignal &signal)
     {
      signal.retcode = m_trade.ResultRetcode();
      signal.words = SeqField(m_trade.ResultComment());
      if(StringLen(signal.words) == 0)
         signal.words = SeqField(m_trade.ResultRetcodeDescription());
      ulong now = GetTickCount64();
      switch(signal.retcode)
        {
         case TRADE_RETCODE_DONE:
         case TRADE_RETCODE_DONE_PARTIAL:
            signal.executed = true;
            signal.phase = SEQ_DONE;
            break;
         // Nothing was done; a new price may do.
         case TRADE_RETCODE_REQUOTE:
         case TRADE_RETCODE_PRICE_CHANGED:
         case TRADE_RETCODE_PRICE_OFF:
         case TRADE_RETCODE_TOO_MANY_REQUESTS:
         case TRADE_RETCODE_FROZEN:
            signal.attempts++;
            signal.phase = signal.attempts < SEQ_ATTEMPTS ? SEQ_SAID : SEQ_DONE;
            signal.not_before = now + (ulong)(500 * signal.attempts);
            break;
         // It may have been done: look before anything else.
         case 0:
         case TRADE_RETCODE_PLACED:
         case TRADE_RETCODE_TIMEOUT:
         case TRADE_RETCODE_CONNECTION:
         case TRADE_RETCODE_ERROR:
            signal.attempts++;
            signal.phase = SEQ_SENDING;
            signal.not_before = now + SEQ_LOOK_MS;
            break;
         default:
            signal.executed = false;
            signal.phase = SEQ_DONE;
        }
     }

   // Volume, price and last numbers of the deals that carry a comment (into the market) or a position (out of it).
   bool              SumDeals(SeqSignal &signal, const string comment, const bool into)
     {
      double volume = 0.0;
      double money = 0.0;
      for(int i = 0; i < HistoryDealsTotal(); i++)
        {
         ulong deal = HistoryDealGetTicket(i);
         if(deal == 0)
            continue;
         bool ours = false;
         if(into)
            ours = HistoryDealGetInteger(deal, DEAL_MAGIC) == m_limits.magic && HistoryDealGetString(deal, DEAL_COMMENT) == comment;
         else
            ours = HistoryDealGetInteger(deal, DEAL_ENTRY) != DEAL_ENTRY_IN &&
                   Holds(comment, HistoryDealGetInteger(deal, DEAL_POSITION_ID));
         if(!ours)
            continue;
         volume += HistoryDealGetDouble(deal, DEAL_VOLUME);
         money += HistoryDealGetDouble(deal, DEAL_VOLUME) * HistoryDealGetDouble(deal, DEAL_PRICE);
         signal.deal = deal;
         signal.order = (ulong)HistoryDealGetInteger(deal, DEAL_ORDER);
        }
      if(volume <= 0.0)
         return(false);
      signal.done_volume = volume;
      signal.price = money / volume;
      if(into && signal.retcode != TRADE_RETCODE_DONE)
        {
         signal.retcode = TRADE_RETCODE_DONE;
         signal.words = "found at the broker by its comment";
        }
      return(true);
     }

   bool              AllClosed(SeqSignal &signal)
     {
      string tickets[];
      int count = StringSplit(signal.tickets, ',', tickets);
      for(int i = 0; i < count; i++)
         if(PositionSelectByTicket((ulong)StringToInteger(tickets[i])))
            return(false);
      SumDeals(signal, signal.tickets, false);
      if(signal.retcode != TRADE_RETCODE_DONE)
        {
         signal.retcode = TRADE_RETCODE_DONE;
         signal.words = "the positions are closed";
        }
      return(true);
     }

   bool              Holds(const string tickets, const long ticket) const
     {
      return(StringFind("," + tickets + ",", "," + IntegerToString(ticket) + ",") >= 0);
     }
  };
