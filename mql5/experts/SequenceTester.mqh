// What a Strategy Tester run found, written where the bridge can read it: WebRequest does not exist in the tester.
//
// In an expert: #include "SequenceTester.mqh", then
//
//    double OnTester()
//      {
//       SeqTesterInput("Fast", Fast);
//       SeqTesterInput("Lots", Lots);
//       SeqTesterExport("MA_Crossover");
//       return(TesterStatistics(STAT_SHARPE_RATIO));
//      }
//
// The file is bridge\<expert>-<symbol>-<run>.json in the common folder of all terminals, which local agents share.
// An optimisation writes none: it would write one for every pass, and agents elsewhere have another folder.
#include "SequenceText.mqh"

string g_seq_inputs = "";

void SeqTesterAdd(const string name, const string value)
  {
   if(StringLen(g_seq_inputs) > 0)
      StringAdd(g_seq_inputs, ",");
   StringAdd(g_seq_inputs, SeqJson(name) + ":" + value);
  }

void SeqTesterInput(const string name, const double value) { SeqTesterAdd(name, SeqNumber(value, 8)); }
void SeqTesterInput(const string name, const int value)    { SeqTesterAdd(name, IntegerToString(value)); }
void SeqTesterInput(const string name, const long value)   { SeqTesterAdd(name, IntegerToString(value)); }
void SeqTesterInput(const string name, const bool value)   { SeqTesterAdd(name, SeqBool(value)); }
void SeqTesterInput(const string name, const string value) { SeqTesterAdd(name, SeqJson(value)); }

void SeqTesterFigure(string &text, const string name, const ENUM_STATISTICS figure)
  {
   if(StringLen(text) > 0)
      StringAdd(text, ",");
   StringAdd(text, SeqJson(name) + ":" + SeqNumber(TesterStatistics(figure), 8));
  }

#define SEQ_FIGURE(text, figure) SeqTesterFigure(text, #figure, figure)

string SeqTesterFigures(void)
  {
   string text = "";
   SEQ_FIGURE(text, STAT_INITIAL_DEPOSIT);
   SEQ_FIGURE(text, STAT_WITHDRAWAL);
   SEQ_FIGURE(text, STAT_PROFIT);
   SEQ_FIGURE(text, STAT_GROSS_PROFIT);
   SEQ_FIGURE(text, STAT_GROSS_LOSS);
   SEQ_FIGURE(text, STAT_MAX_PROFITTRADE);
   SEQ_FIGURE(text, STAT_MAX_LOSSTRADE);
   SEQ_FIGURE(text, STAT_CONPROFITMAX);
   SEQ_FIGURE(text, STAT_CONPROFITMAX_TRADES);
   SEQ_FIGURE(text, STAT_CONLOSSMAX);
   SEQ_FIGURE(text, STAT_CONLOSSMAX_TRADES);
   SEQ_FIGURE(text, STAT_BALANCEMIN);
   SEQ_FIGURE(text, STAT_BALANCE_DD);
   SEQ_FIGURE(text, STAT_BALANCEDD_PERCENT);
   SEQ_FIGURE(text, STAT_BALANCE_DDREL_PERCENT);
   SEQ_FIGURE(text, STAT_BALANCE_DD_RELATIVE);
   SEQ_FIGURE(text, STAT_EQUITYMIN);
   SEQ_FIGURE(text, STAT_EQUITY_DD);
   SEQ_FIGURE(text, STAT_EQUITYDD_PERCENT);
   SEQ_FIGURE(text, STAT_EQUITY_DDREL_PERCENT);
   SEQ_FIGURE(text, STAT_EQUITY_DD_RELATIVE);
   SEQ_FIGURE(text, STAT_EXPECTED_PAYOFF);
   SEQ_FIGURE(text, STAT_PROFIT_FACTOR);
   SEQ_FIGURE(text, STAT_RECOVERY_FACTOR);
   SEQ_FIGURE(text, STAT_SHARPE_RATIO);
   SEQ_FIGURE(text, STAT_MIN_MARGINLEVEL);
   SEQ_FIGURE(text, STAT_DEALS);
   SEQ_FIGURE(text, STAT_TRADES);
   SEQ_FIGURE(text, STAT_PROFIT_TRADES);
   SEQ_FIGURE(text, STAT_LOSS_TRADES);
   SEQ_FIGURE(text, STAT_SHORT_TRADES);
   SEQ_FIGURE(text, STAT_LONG_TRADES);
   SEQ_FIGURE(text, STAT_PROFIT_SHORTTRADES);
   SEQ_FIGURE(text, STAT_PROFIT_LONGTRADES);
   return(text);
  }

// A deal is [time, ticket, symbol, type, entry, volume, price, commission, swap, profit, magic, comment], server time.
string SeqTesterDeals(long &first, long &last)
  {
   string text = "";
   first = 0;
   last = 0;
   if(!HistorySelect(0, TimeCurrent()))
      return(text);
   for(int i = 0; i < HistoryDealsTotal(); i++)
     {
      ulong deal = HistoryDealGetTicket(i);
      long time = HistoryDealGetInteger(deal, DEAL_TIME);
      if(i == 0)
         first = time;
      last = time;
      if(i > 0)
         StringAdd(text, ",");
      StringAdd(text, "[" + IntegerToString(time) + "," + IntegerToString((long)deal));
      StringAdd(text, "," + SeqJson(HistoryDealGetString(deal, DEAL_SYMBOL)));
      StringAdd(text, "," + IntegerToString(HistoryDealGetInteger(deal, DEAL_TYPE)));
      StringAdd(text, "," + IntegerToString(HistoryDealGetInteger(deal, DEAL_ENTRY)));
      StringAdd(text, "," + SeqNumber(HistoryDealGetDouble(deal, DEAL_VOLUME), 8));
      StringAdd(text, "," + SeqNumber(HistoryDealGetDouble(deal, DEAL_PRICE), 8));
      StringAdd(text, "," + SeqNumber(HistoryDealGetDouble(deal, DEAL_COMMISSION), 8));
      StringAdd(text, "," + SeqNumber(HistoryDealGetDouble(deal, DEAL_SWAP), 8));
      StringAdd(text, "," + SeqNumber(HistoryDealGetDouble(deal, DEAL_PROFIT), 8));
      StringAdd(text, "," + IntegerToString(HistoryDealGetInteger(deal, DEAL_MAGIC)));
      StringAdd(text, "," + SeqJson(HistoryDealGetString(deal, DEAL_COMMENT)) + "]");
     }
   return(text);
  }

// Writes the run. True when it is written, or when nothing is to be written because this is an optimisation.
bool SeqTesterExport(const string expert)
  {
   if(MQLInfoInteger(MQL_OPTIMIZATION) != 0)
      return(true);
   long first = 0;
   long last = 0;
   string deals = SeqTesterDeals(first, last);
   string run = IntegerToString((long)GetMicrosecondCount()) + IntegerToString(MathRand());
   string text = "{\"schema\":\"mt5.tester.v1\",\"ea\":" + SeqJson(expert);
   StringAdd(text, ",\"build\":" + IntegerToString(TerminalInfoInteger(TERMINAL_BUILD)));
   StringAdd(text, ",\"symbol\":" + SeqJson(_Symbol));
   StringAdd(text, ",\"period\":" + SeqJson(EnumToString(_Period)));
   StringAdd(text, ",\"from\":" + IntegerToString(first));
   StringAdd(text, ",\"to\":" + IntegerToString((long)TimeCurrent()));
   StringAdd(text, ",\"deposit\":" + SeqNumber(TesterStatistics(STAT_INITIAL_DEPOSIT), 2));
   StringAdd(text, ",\"currency\":" + SeqJson(AccountInfoString(ACCOUNT_CURRENCY)));
   StringAdd(text, ",\"leverage\":" + IntegerToString(AccountInfoInteger(ACCOUNT_LEVERAGE)));
   StringAdd(text, ",\"inputs\":{" + g_seq_inputs + "}");
   StringAdd(text, ",\"stats\":{" + SeqTesterFigures() + "}");
   StringAdd(text, ",\"deals\":[" + deals + "]");
   StringAdd(text, ",\"run_id\":" + SeqJson(run) + "}");
   string name = "bridge\\" + expert + "-" + _Symbol + "-" + run + ".json";
   FolderCreate("bridge", FILE_COMMON);
   bool written = SeqWriteWhole(name, text, FILE_COMMON);
   if(!written)
      Print("Sequence: ", name, " cannot be written, error ", IntegerToString(GetLastError()));
   return(written);
  }
