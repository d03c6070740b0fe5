// The Expert Advisor of Sequence: ticks go to the bridge, signals come back and are executed once.
// Installation and what each message means: docs/expert-advisor.md.
#property copyright "Sequence, AGPL-3.0-or-later"
#property version   "1.10"
#property description "Streams ticks to the Sequence bridge and executes its signals, once each."

#include "SequenceHttp.mqh"
#include "SequenceTicks.mqh"
#include "SequenceAccount.mqh"
#include "SequenceDeals.mqh"
#include "SequenceOrders.mqh"

#define SEQ_VERSION "1.10"

input group  "Bridge"
input string InpUrl            = "http://127.0.0.1:5000"; // Address; allow it in Tools > Options > Expert Advisors
input string InpKey            = "";                      // Key: the content of output_central/bridge.key
input string InpClient         = "";                      // Name of this terminal; empty: mt5-<login>
input int    InpTimerMs        = 200;                     // Milliseconds between two looks
input int    InpTimeoutMs      = 1000;                    // Milliseconds to wait for an answer, at most 1000
input int    InpPollMs         = 500;                     // Milliseconds between two questions for signals
input int    InpHeartbeatMs    = 10000;                   // Milliseconds between two heartbeats
input group  "Symbols"
input string InpSymbols        = "EURUSD";                // Symbols, with commas, as Sequence calls them
input string InpPrefix         = "";                      // What the broker puts before each
input string InpSuffix         = "";                      // What the broker puts behind each
input int    InpBatch          = 500;                     // Ticks in one message, at most
input int    InpRing           = 20000;                   // Ticks waiting to be sent, at most
input int    InpBackfillS      = 3600;                    // Seconds of ticks made good after an interruption
input group  "Trading"
input bool   InpTrade          = false;                   // Execute signals
input bool   InpAllowReal      = false;                   // Execute them on a real account too
input double InpLots           = 0.01;                    // Lots where the signal names none
input double InpMaxLots        = 0.10;                    // Most lots of one order
input int    InpMaxPositions   = 3;                       // Most open positions of this expert
input int    InpMaxSpread      = 30;                      // Widest spread in points, 0 for any
input int    InpMaxAge         = 60;                      // Oldest signal in seconds
input int    InpDeviation      = 10;                      // Points the price may move, where the broker asks
input long   InpMagic          = 20260701;                // Magic number

CSeqHttp    g_http;
CSeqTicks   g_ticks;
CSeqJournal g_journal;
CSeqOrders  g_orders;
CSeqDeals   g_deals;
CSeqBackoff g_polls;
CSeqBackoff g_beats;
CSeqBackoff g_answers;
string      g_client = "";
string      g_lock = "";
string      g_forbidden = "";
int         g_positions = 0;
ulong       g_next_poll = 0;
ulong       g_next_beat = 0;
ulong       g_next_lock = 0;

int OnInit()
  {
   // WebRequest does not exist there, and nothing must be traded by yesterday's signals.
   if(MQLInfoInteger(MQL_TESTER) != 0)
      return(INIT_SUCCEEDED);
   string login = IntegerToString(AccountInfoInteger(ACCOUNT_LOGIN));
   string name = "SequenceBridge-" + login + "-" + IntegerToString(InpMagic);
   g_client = StringLen(InpClient) > 0 ? InpClient : "mt5-" + login;
   if(StringLen(InpKey) == 0)
     {
      Print("Sequence: InpKey is empty; paste the content of output_central/bridge.key");
      return(INIT_PARAMETERS_INCORRECT);
     }
   if(!SeqIsName(g_client))
     {
      Print("Sequence: InpClient ", g_client, " has other signs than letters, digits, '-', '_' and '.'");
      return(INIT_PARAMETERS_INCORRECT);
     }
   if(InpTimerMs < 20 || InpLots <= 0.0 || InpMaxLots <= 0.0 || InpMaxPositions < 1 || InpMaxAge < 1)
     {
      Print("Sequence: InpTimerMs must be 20 at least; InpLots, InpMaxLots, InpMaxPositions and InpMaxAge above 0");
      return(INIT_PARAMETERS_INCORRECT);
     }
   if(!Lock(name))
     {
      Print("Sequence: ", name, " runs on another chart already; remove it there, or give this one another InpMagic");
      return(INIT_FAILED);
     }
   if(!g_journal.Init(name + ".signals.txt"))
     {
      Print("Sequence: MQL5\\Files cannot be written, error ", IntegerToString(GetLastError()), "; free some space");
      return(INIT_FAILED);
     }
   SeqLimits limits;
   limits.trade = InpTrade;
   limits.allow_real = InpAllowReal;
   limits.lots = InpLots;
   limits.max_lots = InpMaxLots;
   limits.max_positions = InpMaxPositions;
   limits.max_spread = InpMaxSpread;
   limits.max_age = InpMaxAge;
   limits.deviation = InpDeviation;
   limits.magic = InpMagic;
   g_orders.Init(limits);
   g_http.Init(InpUrl, InpKey, InpTimeoutMs);
   if(!g_ticks.Init(g_client, InpSymbols, InpPrefix, InpSuffix, InpRing, InpBatch, InpBackfillS, name + ".ticks.txt"))
      return(INIT_PARAMETERS_INCORRECT);
   g_deals.Init(g_client, InpMagic, name + ".deals.txt");
   if(!EventSetMillisecondTimer(InpTimerMs))
     {
      Print("Sequence: no timer, error ", IntegerToString(GetLastError()));
      return(INIT_FAILED);
     }
   // What may have been sent before a restart gets its time to turn up at the broker.
   for(int i = 0; i < ArraySize(g_journal.items); i++)
      g_journal.items[i].not_before = GetTickCount64() + SEQ_LOOK_MS;
   g_ticks.Collect();   // from here on none is missed
   PrintFormat("Sequence: %s streams %s to %s; trading: %s", g_client, InpSymbols, InpUrl,
               StringLen(g_orders.Forbidden()) > 0 ? g_orders.Forbidden() : "permitted");
   return(INIT_SUCCEEDED);
  }

void OnDeinit(const int reason)
  {
   EventKillTimer();
   if(StringLen(g_lock) > 0)
      GlobalVariableDel(g_lock);
  }

void OnTick()
  {
   if(MQLInfoInteger(MQL_TESTER) == 0)
      g_ticks.Collect();
  }

void OnTimer()
  {
   g_http.BeginEvent();
   KeepLock();
   g_ticks.Collect();
   Answer();       // what the bridge does not know yet, before anything new
   Poll();         // which also tells of the kill switch, before anything is sent
   Work();
   Answer();
   Watch();
   g_deals.Collect();
   g_deals.Send(g_http, g_ticks);
   Beat();
   g_ticks.Send(g_http);
  }

// A position that came or went, by a stop say, is told at once.
void Watch()
  {
   int open = g_orders.Positions();
   if(open != g_positions)
      Hurry();
   g_positions = open;
  }

void Hurry()
  {
   g_next_beat = 0;
   g_deals.Hurry();
  }

// Two of the same account and magic number would execute each signal twice. The lock ends with the terminal.
bool Lock(const string name)
  {
   if(GlobalVariableCheck(name) && MathAbs((double)TimeLocal() - GlobalVariableGet(name)) < 5.0)
      return(false);
   GlobalVariableTemp(name);
   GlobalVariableSet(name, (double)TimeLocal());
   g_lock = name;
   return(true);
  }

void KeepLock()
  {
   if(GetTickCount64() < g_next_lock)
      return;
   GlobalVariableSet(g_lock, (double)TimeLocal());
   g_next_lock = GetTickCount64() + 1000;
  }

// Asks for signals while trading is permitted; what is not taken stays for others, or expires. Under the kill switch
// of Sequence it asks on: the bridge gives out what closes then.
void Poll()
  {
   Announce();
   if(StringLen(g_orders.Forbidden()) > 0 || GetTickCount64() < g_next_poll || !g_polls.Ready() || !g_http.Open())
      return;
   g_next_poll = GetTickCount64() + (ulong)InpPollMs;
   int status = g_http.Ask("GET", "/api/v1/signals/pending?client=" + g_client + "&format=lines&max=20&lease_s=15", "");
   if(!Well(status, g_polls))
      return;
   string served = g_http.Body();
   if(StringFind(served, "#kill") == 0)
      g_orders.Stop(true);
   else if(g_orders.Stopped())
     {
      // Only the answer to a heartbeat permits entries again; what was served now is served again.
      g_next_beat = 0;
      Beat();
      if(g_orders.Stopped())
         return;
     }
   Announce();
   string lines[];
   int count = StringSplit(served, '\n', lines);
   for(int i = 0; i < count; i++)
      Receive(lines[i]);
   Work();
  }

void Announce()
  {
   string forbidden = g_orders.NoEntries();
   if(forbidden == g_forbidden)
      return;
   Print("Sequence: trading ", StringLen(forbidden) > 0 ? "stopped: " + forbidden : "permitted");
   g_forbidden = forbidden;
   g_next_beat = 0;
  }

// A line is id|symbol|side|volume|stop|target|valid until|comment|created; an absent number is 0.
void Receive(string line)
  {
   StringReplace(line, "\r", "");
   string parts[];
   if(StringLen(line) == 0 || StringGetCharacter(line, 0) == '#')
      return;
   if(StringSplit(line, '|', parts) < 9 || StringToInteger(parts[0]) <= 0)
     {
      Print("Sequence: a signal that cannot be read: ", line);
      return;
     }
   long id = StringToInteger(parts[0]);
   long created = StringToInteger(parts[8]);
   int at = g_journal.Find(id, created);
   if(at >= 0)
     {
      // Served again: its outcome is told again, and nothing else happens.
      if(g_journal.items[at].phase == SEQ_OVER)
        {
         g_journal.items[at].duplicate = true;
         g_journal.items[at].refusals = 0;
         Phase(at, SEQ_DONE);
        }
      return;
     }
   at = g_journal.Add();
   g_journal.items[at].id = id;
   g_journal.items[at].created = created;
   g_journal.items[at].name = parts[1];
   g_journal.items[at].side = parts[2];
   g_journal.items[at].volume = StringToDouble(parts[3]);
   g_journal.items[at].sl = StringToDouble(parts[4]);
   g_journal.items[at].tp = StringToDouble(parts[5]);
   g_journal.items[at].valid_until = StringToInteger(parts[6]);
   Phase(at, SEQ_TAKEN);
  }

// Brings every open signal one step on.
void Work()
  {
   for(int i = 0; i < ArraySize(g_journal.items); i++)
     {
      if(g_journal.items[i].phase == SEQ_TAKEN)
         Tell(i);
      if(g_journal.items[i].phase == SEQ_SAID && GetTickCount64() >= g_journal.items[i].not_before)
         Execute(i);
      else if(g_journal.items[i].phase == SEQ_SENDING)
         Look(i);
     }
  }

// Tells the bridge that a signal goes to the broker. One that was cancelled meanwhile ends here.
void Tell(const int i)
  {
   if(!g_answers.Ready() || !g_http.Open())
      return;
   string path = "/api/v1/signals/" + IntegerToString(g_journal.items[i].id) + "/sent";
   int status = g_http.Ask("POST", path, "{\"client\":" + SeqJson(g_client) + "}");
   if(status == 404 || status == 409 || status == 410)
     {
      g_journal.items[i].words = "withdrawn by the bridge";
      PrintFormat("Sequence: signal %I64d was withdrawn (%d), nothing is sent", g_journal.items[i].id, status);
      Phase(i, SEQ_OVER);
     }
   else if(Well(status, g_answers))
     {
      g_journal.items[i].not_before = 0;
      Phase(i, SEQ_SAID);
     }
   else if(Expired(i))
      Reject(i, "expired before the bridge could be told");
  }

void Execute(const int i)
  {
   // Until the clock of the bridge is known, a signal's age is not.
   if(!g_http.ClockKnown())
      return;
   string symbol = g_ticks.SymbolOf(g_journal.items[i].name);
   string objection = g_orders.Objection(g_journal.items[i], symbol, g_http.UtcNow());
   if(StringLen(objection) > 0)
     {
      Reject(i, objection);
      return;
     }
   if(!g_orders.Reachable(symbol))
      return;
   if(g_journal.items[i].begun == 0)
     {
      g_journal.items[i].begun = g_journal.items[i].created + SeqServerOffset(g_http.UtcNow());
      if(g_journal.items[i].side == "CLOSE")
         g_journal.items[i].tickets = g_orders.TicketsOf(symbol);
      else if(g_orders.Found(g_journal.items[i]))
        {
         Settle(i);   // this expert lost its file, the broker did not
         return;
        }
     }
   if(!Phase(i, SEQ_SENDING))
     {
      g_journal.items[i].phase = SEQ_SAID;   // not written down, so not sent
      g_journal.items[i].not_before = GetTickCount64() + 1000;
      return;
     }
   if(g_journal.items[i].side == "CLOSE")
      g_orders.Close(g_journal.items[i], symbol);
   else
      g_orders.Open(g_journal.items[i], symbol);
   Settle(i);
  }

// After an answer that left it open: found, still lying there, or surely not done.
void Look(const int i)
  {
   if(TerminalInfoInteger(TERMINAL_CONNECTED) == 0)
     {
      g_journal.items[i].not_before = GetTickCount64() + SEQ_LOOK_MS;   // what is not synchronised cannot be found
      return;
     }
   if(g_orders.Found(g_journal.items[i]))
     {
      Settle(i);
      return;
     }
   if(GetTickCount64() < g_journal.items[i].not_before || g_orders.Lies(g_journal.items[i]))
      return;
   if(g_journal.items[i].attempts >= SEQ_ATTEMPTS)
      Reject(i, g_journal.items[i].words + "; no deal found at the broker");
   else
     {
      g_journal.items[i].attempts++;
      Phase(i, SEQ_SAID);
     }
  }

void Settle(const int i)
  {
   Phase(i, g_journal.items[i].phase);
   if(g_journal.items[i].phase != SEQ_DONE)
      return;
   Hurry();
   PrintFormat("Sequence: signal %I64d %s: %d %s", g_journal.items[i].id,
               g_journal.items[i].executed ? "executed" : "refused", (int)g_journal.items[i].retcode,
               g_journal.items[i].words);
  }

void Reject(const int i, const string words)
  {
   g_journal.items[i].executed = false;
   g_journal.items[i].words = words;
   Phase(i, SEQ_DONE);
   PrintFormat("Sequence: signal %I64d rejected: %s", g_journal.items[i].id, words);
  }

bool Expired(const int i)
  {
   return(g_http.ClockKnown() && g_journal.items[i].valid_until > 0 &&
          g_http.UtcNow() > g_journal.items[i].valid_until);
  }

bool Phase(const int i, const int phase)
  {
   g_journal.items[i].phase = phase;
   return(g_journal.Keep(i));
  }

// Tells the bridge every outcome it does not know yet.
void Answer()
  {
   for(int i = 0; i < ArraySize(g_journal.items); i++)
     {
      if(g_journal.items[i].phase != SEQ_DONE)
         continue;
      if(!g_answers.Ready() || !g_http.Open())
         return;
      string verb = g_journal.items[i].executed ? "executed" : "rejected";
      string path = "/api/v1/signals/" + IntegerToString(g_journal.items[i].id) + "/" + verb;
      int status = g_http.Ask("POST", path, Outcome(i));
      if(status == 404 || status == 409 || status == 410)
        {
         // The bridge knows another end (expired, cancelled); the account's own journal stays the truth.
         PrintFormat("Sequence: the bridge has another end for signal %I64d (%d): %s", g_journal.items[i].id, status,
                     StringSubstr(g_http.Body(), 0, 200));
         Phase(i, SEQ_OVER);
        }
      else if(status == 400 || status == 422)
        {
         g_journal.items[i].refusals++;
         g_answers.Refused();
         if(g_journal.items[i].refusals >= 5)
           {
            PrintFormat("Sequence: the bridge does not understand the end of signal %I64d: %s", g_journal.items[i].id,
                        StringSubstr(g_http.Body(), 0, 200));
            Phase(i, SEQ_OVER);
           }
        }
      else if(Well(status, g_answers))
         Phase(i, SEQ_OVER);
     }
  }

string Outcome(const int i)
  {
   string text = "{\"client\":" + SeqJson(g_client);
   StringAdd(text, ",\"retcode\":" + IntegerToString((long)g_journal.items[i].retcode));
   StringAdd(text, ",\"order\":" + IntegerToString((long)g_journal.items[i].order));
   StringAdd(text, ",\"deal\":" + IntegerToString((long)g_journal.items[i].deal));
   StringAdd(text, ",\"price\":" + SeqNumber(g_journal.items[i].price, 8));
   StringAdd(text, ",\"volume\":" + SeqNumber(g_journal.items[i].done_volume, 8));
   StringAdd(text, ",\"comment\":" + SeqJson(StringSubstr(g_journal.items[i].words, 0, 200)));
   StringAdd(text, ",\"duplicate\":" + SeqBool(g_journal.items[i].duplicate) + "}");
   return(text);
  }

void Beat()
  {
   if(GetTickCount64() < g_next_beat || !g_beats.Ready() || !g_http.Open())
      return;
   g_next_beat = GetTickCount64() + (ulong)InpHeartbeatMs;
   string text = "{\"client\":" + SeqJson(g_client);
   StringAdd(text, ",\"login\":" + IntegerToString(AccountInfoInteger(ACCOUNT_LOGIN)));
   StringAdd(text, ",\"server\":" + SeqJson(AccountInfoString(ACCOUNT_SERVER)));
   StringAdd(text, ",\"company\":" + SeqJson(AccountInfoString(ACCOUNT_COMPANY)));
   StringAdd(text, ",\"build\":" + IntegerToString(TerminalInfoInteger(TERMINAL_BUILD)));
   StringAdd(text, ",\"ea_version\":" + SeqJson(SEQ_VERSION));
   StringAdd(text, ",\"trade_mode\":" + SeqJson(TradeMode()));
   StringAdd(text, ",\"trade_allowed\":" + SeqBool(StringLen(g_orders.NoEntries()) == 0));
   StringAdd(text, ",\"kill_switch\":" + SeqBool(g_orders.Halted()));
   StringAdd(text, ",\"connected\":" + SeqBool(TerminalInfoInteger(TERMINAL_CONNECTED) != 0));
   StringAdd(text, ",\"tz_offset_s\":" + IntegerToString(SeqServerOffset(g_http.UtcNow())));
   StringAdd(text, ",\"gmt_ms\":" + IntegerToString((long)TimeGMT() * 1000));
   StringAdd(text, ",\"balance\":" + SeqNumber(AccountInfoDouble(ACCOUNT_BALANCE), 2));
   StringAdd(text, ",\"equity\":" + SeqNumber(AccountInfoDouble(ACCOUNT_EQUITY), 2));
   StringAdd(text, ",\"margin_free\":" + SeqNumber(AccountInfoDouble(ACCOUNT_MARGIN_FREE), 2));
   StringAdd(text, ",\"currency\":" + SeqJson(AccountInfoString(ACCOUNT_CURRENCY)));
   StringAdd(text, ",\"positions\":" + IntegerToString(g_orders.Positions()));
   StringAdd(text, ",\"ticks_sent\":" + IntegerToString(g_ticks.Delivered()));
   StringAdd(text, ",\"ticks_dropped\":" + IntegerToString(g_ticks.Refused() + g_ticks.Skips()));
   StringAdd(text, ",\"symbols\":[");
   for(int i = 0; i < g_ticks.Feeds(); i++)
      StringAdd(text, (i > 0 ? "," : "") + SeqJson(g_ticks.Name(i)));
   StringAdd(text, "],\"open_positions\":" + SeqPositions(InpMagic, g_ticks, SeqServerOffset(g_http.UtcNow())));
   StringAdd(text, ",\"symbol_specs\":" + SeqSpecs(g_ticks) + "}");
   if(!Well(g_http.Ask("POST", "/api/v1/terminals/heartbeat", text), g_beats))
      return;
   int killed = SeqJsonFlag(g_http.Body(), "kill_switch");
   if(killed >= 0)
      g_orders.Stop(killed == 1);
   Announce();
  }

// What the account trades with and, where trading is off, why.
string TradeMode()
  {
   long mode = AccountInfoInteger(ACCOUNT_TRADE_MODE);
   string name = mode == ACCOUNT_TRADE_MODE_REAL ? "real" : mode == ACCOUNT_TRADE_MODE_CONTEST ? "contest" : "demo";
   string forbidden = g_orders.NoEntries();
   return(StringLen(forbidden) > 0 ? name + "; " + forbidden : name);
  }

// Whether an answer was a good one; after any other its kind of question rests.
bool Well(const int status, CSeqBackoff &pause)
  {
   if(status >= 200 && status < 300)
     {
      pause.Well();
      return(true);
     }
   if(status == 401 || status == 403)
      pause.Refused();
   else
      pause.Failed();
   return(false);
  }
