// Every tick of the chosen symbols, once: read from the terminal's own tick store into a ring, posted in batches.
//
// A tick's sequence number counts the ticks of its symbol. Cursor and number are kept in a file as of the last batch
// that the bridge acknowledged, so that after a restart the same ticks get the same numbers and the bridge knows them.
// While the ring is full nothing is read: the terminal keeps the ticks until there is room again.
#include "SequenceHttp.mqh"

struct SeqTick
  {
   int               feed;
   long              time_msc;
   int               nth;
   long              sequence;
   double            bid;
   double            ask;
   double            last;
   double            volume;
   uint              flags;
  };

struct SeqFeed
  {
   string            name;
   string            symbol;
   int               digits;
   long              from_msc;
   int               taken;
   long              sequence;
   long              acked_msc;
   int               acked_taken;
   long              acked_sequence;
  };

class CSeqTicks
  {
private:
   SeqFeed           m_feeds[];
   SeqTick           m_ring[];
   int               m_first;
   int               m_count;
   int               m_batch;
   int               m_batch_now;
   long              m_backfill_ms;
   string            m_file;
   string            m_source;
   CSeqBackoff       m_pause;
   long              m_delivered;
   long              m_refused;
   long              m_skips;

public:
                     CSeqTicks(void) : m_first(0), m_count(0), m_batch(500), m_batch_now(500), m_backfill_ms(0),
                                       m_delivered(0), m_refused(0), m_skips(0) {}
   int               Waiting(void) const { return(m_count); }
   long              Delivered(void) const { return(m_delivered); }
   long              Refused(void) const { return(m_refused); }
   long              Skips(void) const { return(m_skips); }
   int               Feeds(void) const { return(ArraySize(m_feeds)); }
   string            Name(const int feed) const { return(m_feeds[feed].name); }
   string            Symbol(const int feed) const { return(m_feeds[feed].symbol); }

   // The terminal's name of a symbol; empty for one that is not streamed.
   string            SymbolOf(const string name) const
     {
      for(int i = 0; i < ArraySize(m_feeds); i++)
         if(m_feeds[i].name == name)
            return(m_feeds[i].symbol);
      return("");
     }

   // What Sequence calls a symbol of the terminal; one that is not streamed keeps its name.
   string            NameOf(const string symbol) const
     {
      for(int i = 0; i < ArraySize(m_feeds); i++)
         if(m_feeds[i].symbol == symbol)
            return(m_feeds[i].name);
      return(symbol);
     }

   // False when none of the symbols is known to the terminal.
   bool              Init(const string source, const string names, const string prefix, const string suffix,
                          const int ring, const int batch, const int backfill_seconds, const string file)
     {
      string parts[];
      int count = StringSplit(names, ',', parts);
      m_source = source;
      m_file = file;
      m_batch = (int)MathMax(1, MathMin(1000, batch));
      m_batch_now = m_batch;
      m_backfill_ms = (long)backfill_seconds * 1000;
      ArrayResize(m_ring, (int)MathMax(1000, ring));
      ArrayResize(m_feeds, 0);
      for(int i = 0; i < count; i++)
         Add(parts[i], prefix, suffix);
      Load();
      return(ArraySize(m_feeds) > 0);
     }

   // Takes what came since the last call. Fast enough for OnTick: nothing is sent here.
   void              Collect(void)
     {
      int feeds = ArraySize(m_feeds);
      for(int i = 0; i < feeds; i++)
        {
         int room = (ArraySize(m_ring) - m_count) / (feeds - i);
         if(Begin(i))
            Read(i, room);
        }
     }

   // Posts batches while the event has time for them.
   void              Send(CSeqHttp &http)
     {
      while(m_count > 0 && m_pause.Ready() && http.Open())
        {
         int size = (int)MathMin(m_count, m_batch_now);
         if(!Judge(http.Ask("POST", "/api/v1/live_data/tick", Body(size, http.UtcNow())), size))
            return;
        }
     }

private:
   void              Add(string name, const string prefix, const string suffix)
     {
      StringTrimLeft(name);
      StringTrimRight(name);
      string symbol = prefix + name + suffix;
      if(StringLen(name) == 0 || SymbolOf(name) != "")
         return;
      if(!SymbolSelect(symbol, true))
        {
         Print("Sequence: the terminal knows no symbol ", symbol, "; correct InpSymbols, InpPrefix or InpSuffix");
         return;
        }
      int at = ArraySize(m_feeds);
      ArrayResize(m_feeds, at + 1);
      m_feeds[at].name = name;
      m_feeds[at].symbol = symbol;
      m_feeds[at].digits = (int)SymbolInfoInteger(symbol, SYMBOL_DIGITS);
      m_feeds[at].from_msc = 0;
      m_feeds[at].taken = 0;
      m_feeds[at].sequence = 0;
      m_feeds[at].acked_msc = 0;
      m_feeds[at].acked_taken = 0;
      m_feeds[at].acked_sequence = 0;
     }

   // Sets the cursor where there is none yet, or moves it on when it fell too far behind.
   bool              Begin(const int i)
     {
      MqlTick newest;
      if(!SymbolInfoTick(m_feeds[i].symbol, newest) || newest.time_msc <= 0)
         return(false);
      if(m_feeds[i].from_msc == 0)
         m_feeds[i].from_msc = newest.time_msc;
      else if(newest.time_msc - m_feeds[i].from_msc > m_backfill_ms && NextAfter(i) < newest.time_msc - m_backfill_ms)
        {
         m_feeds[i].from_msc = newest.time_msc - m_backfill_ms;
         m_feeds[i].taken = 0;
         m_feeds[i].sequence++;   // the bridge sees the gap
         m_skips++;
        }
      return(true);
     }

   // When the tick behind the cursor was quoted; over a weekend there is none, and nothing is left out then.
   long              NextAfter(const int i)
     {
      MqlTick ticks[];
      int wanted = m_feeds[i].taken + 1;
      int got = CopyTicks(m_feeds[i].symbol, ticks, COPY_TICKS_ALL, (ulong)m_feeds[i].from_msc, (uint)wanted);
      int seen = 0;
      for(int k = 0; k < got; k++)
        {
         if(ticks[k].time_msc > m_feeds[i].from_msc || seen >= m_feeds[i].taken)
            return(ticks[k].time_msc);
         seen++;
        }
      return(0);   // the terminal does not tell: something may be missing
     }

   void              Read(const int i, int room)
     {
      MqlTick ticks[];
      while(room > 0)
        {
         int wanted = m_feeds[i].taken + (int)MathMin(room, 2000);
         int got = CopyTicks(m_feeds[i].symbol, ticks, COPY_TICKS_ALL, (ulong)m_feeds[i].from_msc, (uint)wanted);
         int seen = 0;
         int fresh = 0;
         long from = m_feeds[i].from_msc;
         int taken = m_feeds[i].taken;
         for(int k = 0; k < got; k++)
           {
            if(ticks[k].time_msc < from || (ticks[k].time_msc == from && seen < taken))
              {
               seen++;
               continue;
              }
            fresh++;
            Take(i, ticks[k]);
           }
         room -= fresh;
         if(fresh == 0 || got < wanted)
            return;
        }
     }

   void              Take(const int i, const MqlTick &tick)
     {
      if(tick.time_msc > m_feeds[i].from_msc)
        {
         m_feeds[i].from_msc = tick.time_msc;
         m_feeds[i].taken = 0;
        }
      m_feeds[i].taken++;
      if(tick.bid <= 0.0 || tick.ask < tick.bid)   // half a quote, at the opening of some brokers
         return;
      m_feeds[i].sequence++;
      int at = (m_first + m_count) % ArraySize(m_ring);
      m_ring[at].feed = i;
      m_ring[at].time_msc = tick.time_msc;
      m_ring[at].nth = m_feeds[i].taken;
      m_ring[at].sequence = m_feeds[i].sequence;
      m_ring[at].bid = tick.bid;
      m_ring[at].ask = tick.ask;
      m_ring[at].last = tick.last;
      m_ring[at].volume = tick.volume_real > 0.0 ? tick.volume_real : (double)tick.volume;
      m_ring[at].flags = tick.flags & 0x7E;   // the others are the terminal's own
      m_count++;
     }

   string            Body(const int size, const long utc)
     {
      string text = "{\"source\":" + SeqJson(m_source) + ",\"ticks\":[";
      for(int k = 0; k < size; k++)
        {
         int at = (m_first + k) % ArraySize(m_ring);
         int feed = m_ring[at].feed;
         if(k > 0)
            StringAdd(text, ",");
         StringAdd(text, "{\"symbol\":" + SeqJson(m_feeds[feed].name));
         StringAdd(text, ",\"bid\":" + DoubleToString(m_ring[at].bid, m_feeds[feed].digits));
         StringAdd(text, ",\"ask\":" + DoubleToString(m_ring[at].ask, m_feeds[feed].digits));
         StringAdd(text, ",\"last\":" + DoubleToString(m_ring[at].last, m_feeds[feed].digits));
         StringAdd(text, ",\"volume\":" + SeqNumber(m_ring[at].volume, 2));
         StringAdd(text, ",\"time_msc\":" + IntegerToString(m_ring[at].time_msc));
         StringAdd(text, ",\"flags\":" + IntegerToString((long)m_ring[at].flags));
         StringAdd(text, ",\"sequence\":" + IntegerToString(m_ring[at].sequence) + "}");
        }
      StringAdd(text, "],\"tz_offset_s\":" + IntegerToString(SeqServerOffset(utc)));
      StringAdd(text, ",\"gmt_ms\":" + IntegerToString((long)TimeGMT() * 1000) + "}");
      return(text);
     }

   // True when the batch is done with and the next may follow.
   bool              Judge(const int status, const int size)
     {
      if(status >= 200 && status < 300)
        {
         m_delivered += size;
         Forget(size);
         m_pause.Well();
         m_batch_now = (int)MathMin(m_batch, m_batch_now * 2);
         return(true);
        }
      if(status == 400 || status == 413 || status == 422)
        {
         // One bad tick must not hold up the others: smaller batches until it stands alone.
         if(size > 1)
           {
            m_batch_now = (int)MathMax(1, size / 2);
            return(true);
           }
         Print("Sequence: the bridge refused a tick of ", m_feeds[m_ring[m_first].feed].name, "; it is left out");
         m_refused++;
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
      for(int k = 0; k < size; k++)
        {
         int feed = m_ring[m_first].feed;
         m_feeds[feed].acked_msc = m_ring[m_first].time_msc;
         m_feeds[feed].acked_taken = m_ring[m_first].nth;
         m_feeds[feed].acked_sequence = m_ring[m_first].sequence;
         m_first = (m_first + 1) % ArraySize(m_ring);
         m_count--;
        }
      string text = "";
      for(int i = 0; i < ArraySize(m_feeds); i++)
         if(m_feeds[i].acked_msc > 0)
            StringAdd(text, StringFormat("%s|%I64d|%d|%I64d|.\r\n", m_feeds[i].name, m_feeds[i].acked_msc,
                                         m_feeds[i].acked_taken, m_feeds[i].acked_sequence));
      if(!SeqWriteWhole(m_file, text, 0))
         Print("Sequence: ", m_file, " cannot be written, error ", IntegerToString(GetLastError()));
     }

   void              Load(void)
     {
      int file = FileOpen(m_file, FILE_READ | FILE_TXT | FILE_ANSI | FILE_SHARE_READ, '\t', CP_UTF8);
      if(file == INVALID_HANDLE)
         return;
      while(!FileIsEnding(file))
        {
         string parts[];
         if(StringSplit(FileReadString(file), '|', parts) != 5 || parts[4] != ".")
            continue;
         for(int i = 0; i < ArraySize(m_feeds); i++)
            if(m_feeds[i].name == parts[0])
              {
               m_feeds[i].acked_msc = StringToInteger(parts[1]);
               m_feeds[i].acked_taken = (int)StringToInteger(parts[2]);
               m_feeds[i].acked_sequence = StringToInteger(parts[3]);
               m_feeds[i].from_msc = m_feeds[i].acked_msc;
               m_feeds[i].taken = m_feeds[i].acked_taken;
               m_feeds[i].sequence = m_feeds[i].acked_sequence;
              }
        }
      FileClose(file);
     }
  };
