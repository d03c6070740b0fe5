// Every deal of this expert, told to the bridge until it acknowledges: fills, stops, targets, and what was done by hand.
//
// A deal of another magic number counts when it closes a position that this expert opened. Until when all is
// acknowledged is kept in a file; after a start the deals of the last week are told again, and the bridge knows them.
#include "SequenceTicks.mqh"

#define SEQ_AGAIN_SECONDS   604800
#define SEQ_OVERLAP_SECONDS 86400
#define SEQ_DEALS_MS        1000
#define SEQ_DEALS_AT_ONCE   100

struct SeqDeal
  {
   ulong             deal;
   ulong             order;
   long              position;
   string            symbol;
   long              type;
   long              entry;
   double            volume;
   double            price;
   double            commission;
   double            swap;
   double            profit;
   long              time_msc;   // the broker's clock
   long              reason;
   string            comment;
   long              magic;
  };

class CSeqDeals
  {
private:
   string            m_source;
   string            m_file;
   long              m_magic;
   long              m_from;        // seconds of the broker's clock: what is older is not looked at
   long              m_acked_msc;   // the newest deal that the bridge acknowledged
   ulong             m_known[];     // looked at since then: told, waiting, or none of ours
   SeqDeal           m_waiting[];
   int               m_batch;
   ulong             m_next;
   CSeqBackoff       m_pause;

public:
                     CSeqDeals(void) : m_source(""), m_file(""), m_magic(0), m_from(0), m_acked_msc(0),
                                       m_batch(SEQ_DEALS_AT_ONCE), m_next(0) {}
   int               Waiting(void) const { return(ArraySize(m_waiting)); }
   void              Hurry(void) { m_next = 0; }

   void              Init(const string source, const long magic, const string file)
     {
      m_source = source;
      m_magic = magic;
      m_file = file;
      m_from = (long)TimeTradeServer() - SEQ_AGAIN_SECONDS;
      Load();
      if(m_acked_msc > 0 && m_acked_msc / 1000 < m_from)
         m_from = m_acked_msc / 1000;
     }

   // Looks what the history has that was not looked at yet, every second or when told to hurry.
   void              Collect(void)
     {
      if(GetTickCount64() < m_next)
         return;
      m_next = GetTickCount64() + SEQ_DEALS_MS;
      if(TerminalInfoInteger(TERMINAL_CONNECTED) == 0)
         return;
      if(!HistorySelect((datetime)m_from, (datetime)((long)TimeTradeServer() + SEQ_OVERLAP_SECONDS)))
         return;
      SeqDeal others[];
      int total = HistoryDealsTotal();
      for(int i = 0; i < total; i++)
        {
         ulong deal = HistoryDealGetTicket(i);
         if(deal == 0 || Known(deal))
            continue;
         Know(deal);
         long type = HistoryDealGetInteger(deal, DEAL_TYPE);
         if(type != DEAL_TYPE_BUY && type != DEAL_TYPE_SELL)   // deposits, credits, corrections
            continue;
         if(HistoryDealGetInteger(deal, DEAL_MAGIC) == m_magic)
            Take(m_waiting, deal);
         else if(HistoryDealGetInteger(deal, DEAL_ENTRY) != DEAL_ENTRY_IN)
            Take(others, deal);
        }
      for(int i = 0; i < ArraySize(others); i++)
         if(Opened(others[i].position))
           {
            int at = ArraySize(m_waiting);
            ArrayResize(m_waiting, at + 1, 64);
            m_waiting[at] = others[i];
           }
     }

   // Posts what waits while the event has time. Until the bridge's clock is known no deal's time is.
   void              Send(CSeqHttp &http, const CSeqTicks &ticks)
     {
      while(ArraySize(m_waiting) > 0 && http.ClockKnown() && m_pause.Ready() && http.Open())
        {
         int size = (int)MathMin(ArraySize(m_waiting), m_batch);
         string body = Body(size, SeqServerOffset(http.UtcNow()), ticks);
         if(!Judge(http.Ask("POST", "/api/v1/terminals/deals", body), size))
            return;
        }
     }

private:
   // Newest first: what is asked for is mostly what came last.
   bool              Known(const ulong deal) const
     {
      for(int i = ArraySize(m_known) - 1; i >= 0; i--)
         if(m_known[i] == deal)
            return(true);
      return(false);
     }

   void              Know(const ulong deal)
     {
      int at = ArraySize(m_known);
      ArrayResize(m_known, at + 1, 256);
      m_known[at] = deal;
     }

   void              Take(SeqDeal &deals[], const ulong deal)
     {
      int at = ArraySize(deals);
      ArrayResize(deals, at + 1, 64);
      deals[at].deal = deal;
      deals[at].order = (ulong)HistoryDealGetInteger(deal, DEAL_ORDER);
      deals[at].position = HistoryDealGetInteger(deal, DEAL_POSITION_ID);
      deals[at].symbol = HistoryDealGetString(deal, DEAL_SYMBOL);
      deals[at].type = HistoryDealGetInteger(deal, DEAL_TYPE);
      deals[at].entry = HistoryDealGetInteger(deal, DEAL_ENTRY);
      deals[at].volume = HistoryDealGetDouble(deal, DEAL_VOLUME);
      deals[at].price = HistoryDealGetDouble(deal, DEAL_PRICE);
      deals[at].commission = HistoryDealGetDouble(deal, DEAL_COMMISSION) + HistoryDealGetDouble(deal, DEAL_FEE);
      deals[at].swap = HistoryDealGetDouble(deal, DEAL_SWAP);
      deals[at].profit = HistoryDealGetDouble(deal, DEAL_PROFIT);
      deals[at].time_msc = HistoryDealGetInteger(deal, DEAL_TIME_MSC);
      deals[at].reason = HistoryDealGetInteger(deal, DEAL_REASON);
      deals[at].comment = HistoryDealGetString(deal, DEAL_COMMENT);
      deals[at].magic = HistoryDealGetInteger(deal, DEAL_MAGIC);
     }

   // Whether this expert opened a position.
   bool              Opened(const long position) const
     {
      if(position == 0 || !HistorySelectByPosition(position))
         return(false);
      for(int i = 0; i < HistoryDealsTotal(); i++)
        {
         ulong deal = HistoryDealGetTicket(i);
         if(deal > 0 && HistoryDealGetInteger(deal, DEAL_ENTRY) == DEAL_ENTRY_IN &&
            HistoryDealGetInteger(deal, DEAL_MAGIC) == m_magic)
            return(true);
        }
      return(false);
     }

   // Times are the broker's less its offset of now: of a week told again, those before a change of the broker's
   // summer time are an hour off, and the bridge keeps what it was told first.
   string            Body(const int size, const long offset, const CSeqTicks &ticks) const
     {
      string text = "{\"client\":" + SeqJson(m_source) + ",\"deals\":[";
      for(int i = 0; i < size; i++)
        {
         StringAdd(text, i > 0 ? ",{" : "{");
         StringAdd(text, "\"deal\":" + IntegerToString((long)m_waiting[i].deal));
         StringAdd(text, ",\"order\":" + IntegerToString((long)m_waiting[i].order));
         StringAdd(text, ",\"position\":" + IntegerToString(m_waiting[i].position));
         StringAdd(text, ",\"symbol\":" + SeqJson(ticks.NameOf(m_waiting[i].symbol)));
         StringAdd(text, ",\"side\":" + (m_waiting[i].type == DEAL_TYPE_BUY ? "\"buy\"" : "\"sell\""));
         StringAdd(text, ",\"entry\":" + SeqJson(Entry(m_waiting[i].entry)));
         StringAdd(text, ",\"volume\":" + SeqNumber(m_waiting[i].volume, 8));
         StringAdd(text, ",\"price\":" + SeqNumber(m_waiting[i].price, 8));
         StringAdd(text, ",\"commission\":" + SeqNumber(m_waiting[i].commission, 8));
         StringAdd(text, ",\"swap\":" + SeqNumber(m_waiting[i].swap, 8));
         StringAdd(text, ",\"profit\":" + SeqNumber(m_waiting[i].profit, 8));
         StringAdd(text, ",\"time_ms\":" + IntegerToString(m_waiting[i].time_msc - offset * 1000));
         StringAdd(text, ",\"reason\":" + SeqJson(Reason(m_waiting[i].reason)));
         StringAdd(text, ",\"comment\":" + SeqJson(m_waiting[i].comment));
         StringAdd(text, ",\"magic\":" + IntegerToString(m_waiting[i].magic) + "}");
        }
      return(text + "]}");
     }

   string            Entry(const long entry) const
     {
      if(entry == DEAL_ENTRY_IN)
         return("in");
      if(entry == DEAL_ENTRY_OUT)
         return("out");
      return(entry == DEAL_ENTRY_INOUT ? "inout" : "out_by");
     }

   string            Reason(const long reason) const
     {
      if(reason == DEAL_REASON_CLIENT)
         return("client");
      if(reason == DEAL_REASON_MOBILE)
         return("mobile");
      if(reason == DEAL_REASON_WEB)
         return("web");
      if(reason == DEAL_REASON_EXPERT)
         return("expert");
      if(reason == DEAL_REASON_SL)
         return("sl");
      if(reason == DEAL_REASON_TP)
         return("tp");
      if(reason == DEAL_REASON_SO)
         return("so");
      if(reason == DEAL_REASON_ROLLOVER)
         return("rollover");
      return(reason == DEAL_REASON_VMARGIN ? "vmargin" : "other");
     }

   // True when the batch is done with and the next may follow.
   bool              Judge(const int status, const int size)
     {
      if(status >= 200 && status < 300)
        {
         m_pause.Well();
         Forget(size);
         m_batch = (int)MathMin(SEQ_DEALS_AT_ONCE, m_batch * 2);
         return(true);
        }
      if(status == 400 || status == 413 || status == 422)
        {
         // One deal that is not understood must not hold up the others.
         if(size > 1)
           {
            m_batch = (int)MathMax(1, size / 2);
            return(true);
           }
         PrintFormat("Sequence: the bridge refused deal %I64d; it is left out", (long)m_waiting[0].deal);
         Forget(1);
         return(true);
        }
      if(status == 401 || status == 403)
         m_pause.Refused();
      else
         m_pause.Failed();
      return(false);
     }

   void              Forget(const int size)
     {
      for(int i = 0; i < size; i++)
         m_acked_msc = (long)MathMax(m_acked_msc, m_waiting[i].time_msc);
      int left = ArraySize(m_waiting) - size;
      for(int i = 0; i < left; i++)
         m_waiting[i] = m_waiting[i + size];
      ArrayResize(m_waiting, left);
      if(left > 0)
         return;
      m_from = (long)MathMax(m_from, m_acked_msc / 1000 - SEQ_OVERLAP_SECONDS);
      if(!SeqWriteWhole(m_file, IntegerToString(m_acked_msc) + "|.\r\n", 0))
         Print("Sequence: ", m_file, " cannot be written, error ", IntegerToString(GetLastError()));
     }

   void              Load(void)
     {
      int file = FileOpen(m_file, FILE_READ | FILE_TXT | FILE_ANSI | FILE_SHARE_READ, '\t', CP_UTF8);
      if(file == INVALID_HANDLE)
         return;
      string parts[];
      if(!FileIsEnding(file) && StringSplit(FileReadString(file), '|', parts) == 2 && parts[1] == ".")
         m_acked_msc = StringToInteger(parts[0]);
      FileClose(file);
     }
  };
