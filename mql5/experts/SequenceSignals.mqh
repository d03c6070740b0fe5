// What is known of the signals, kept in a file: a signal is written down before anything is done about it.
//
// The bridge delivers a signal at least once. It is executed once because its phase survives restarts: an order
// that may have been sent is looked for at the broker before it is sent again.
#include "SequenceText.mqh"

#define SEQ_TAKEN    1   // leased, the bridge not yet told
#define SEQ_SAID     2   // the bridge knows that it goes to the broker
#define SEQ_SENDING  3   // the order may have been sent
#define SEQ_DONE     4   // the outcome is known here, not yet at the bridge
#define SEQ_OVER     5   // the bridge knows the outcome

#define SEQ_FIELDS   22
#define SEQ_KEPT     2000

struct SeqSignal
  {
   long              id;
   long              created;      // seconds UTC by the bridge's clock
   int               phase;
   string            name;
   string            side;
   double            volume;       // lots, 0 for the expert's own
   double            sl;
   double            tp;
   long              valid_until;  // seconds UTC by the bridge's clock
   long              begun;        // seconds, broker's clock, when it was created; 0 before the first order
   int               attempts;
   string            tickets;      // positions that a CLOSE is about, or the one it waits for
   bool              executed;
   uint              retcode;
   ulong             order;
   ulong             deal;
   double            price;
   double            done_volume;
   bool              duplicate;
   string            words;
   ulong             not_before;   // GetTickCount64, not kept
   int               refusals;     // of the acknowledgement, not kept
  };

class CSeqJournal
  {
private:
   string            m_file;

public:
   SeqSignal         items[];

                     CSeqJournal(void) : m_file("") {}

   // Reads what the last run left, and writes it anew without torn or outdated lines.
   bool              Init(const string file)
     {
      m_file = file;
      ArrayResize(items, 0);
      int handle = FileOpen(m_file, FILE_READ | FILE_TXT | FILE_ANSI | FILE_SHARE_READ, '\t', CP_UTF8);
      if(handle != INVALID_HANDLE)
        {
         while(!FileIsEnding(handle))
            Read(FileReadString(handle));
         FileClose(handle);
        }
      string text = "";
      int count = ArraySize(items);
      for(int i = 0; i < count; i++)
         if(i >= count - SEQ_KEPT || items[i].phase != SEQ_OVER)
            StringAdd(text, Line(i));
      return(SeqWriteWhole(m_file, text, 0));
     }

   // The index of a signal, -1 for a new one. A bridge whose database was begun anew counts from 1 again.
   int               Find(const long id, const long created) const
     {
      for(int i = ArraySize(items) - 1; i >= 0; i--)
         if(items[i].id == id && items[i].created == created)
            return(i);
      return(-1);
     }

   int               Add(void)
     {
      int at = ArraySize(items);
      ArrayResize(items, at + 1, 256);
      items[at].id = 0;
      items[at].created = 0;
      items[at].phase = SEQ_TAKEN;
      items[at].name = "";
      items[at].side = "";
      items[at].volume = 0.0;
      items[at].sl = 0.0;
      items[at].tp = 0.0;
      items[at].valid_until = 0;
      items[at].begun = 0;
      items[at].attempts = 0;
      items[at].tickets = "";
      items[at].executed = false;
      items[at].retcode = 0;
      items[at].order = 0;
      items[at].deal = 0;
      items[at].price = 0.0;
      items[at].done_volume = 0.0;
      items[at].duplicate = false;
      items[at].words = "";
      items[at].not_before = 0;
      items[at].refusals = 0;
      return(at);
     }

   // Appends the present state of a signal and has it written to the disk. False means: do nothing about it.
   bool              Keep(const int i)
     {
      int handle = FileOpen(m_file, FILE_READ | FILE_WRITE | FILE_TXT | FILE_ANSI | FILE_SHARE_READ, '\t', CP_UTF8);
      if(handle == INVALID_HANDLE)
        {
         Print("Sequence: ", m_file, " cannot be written, error ", IntegerToString(GetLastError()));
         return(false);
        }
      FileSeek(handle, 0, SEEK_END);
      bool kept = FileWriteString(handle, Line(i)) > 0;
      FileFlush(handle);
      FileClose(handle);
      return(kept);
     }

private:
   string            Line(const int i) const
     {
      string line = IntegerToString(items[i].id);
      StringAdd(line, "|" + IntegerToString(items[i].created));
      StringAdd(line, "|" + IntegerToString(items[i].phase));
      StringAdd(line, "|" + SeqField(items[i].name));
      StringAdd(line, "|" + SeqField(items[i].side));
      StringAdd(line, "|" + DoubleToString(items[i].volume, 8));
      StringAdd(line, "|" + DoubleToString(items[i].sl, 8));
      StringAdd(line, "|" + DoubleToString(items[i].tp, 8));
      StringAdd(line, "|" + IntegerToString(items[i].valid_until));
      StringAdd(line, "|" + IntegerToString(items[i].begun));
      StringAdd(line, "|" + IntegerToString(items[i].attempts));
      StringAdd(line, "|" + SeqField(items[i].tickets));
      StringAdd(line, "|" + (items[i].executed ? "1" : "0"));
      StringAdd(line, "|" + IntegerToString((long)items[i].retcode));
      StringAdd(line, "|" + IntegerToString((long)items[i].order));
      StringAdd(line, "|" + IntegerToString((long)items[i].deal));
      StringAdd(line, "|" + DoubleToString(items[i].price, 8));
      StringAdd(line, "|" + DoubleToString(items[i].done_volume, 8));
      StringAdd(line, "|" + (items[i].duplicate ? "1" : "0"));
      StringAdd(line, "|" + SeqField(items[i].words));
      StringAdd(line, "|1|.\r\n");   // the form of this line, and its end: a torn line has none
      return(line);
     }

   void              Read(const string line)
     {
      string parts[];
      if(StringSplit(line, '|', parts) != SEQ_FIELDS || parts[21] != ".")
         return;
      long id = StringToInteger(parts[0]);
      long created = StringToInteger(parts[1]);
      int i = Find(id, created);
      if(i < 0)
         i = Add();
      items[i].id = id;
      items[i].created = created;
      items[i].phase = (int)StringToInteger(parts[2]);
      items[i].name = parts[3];
      items[i].side = parts[4];
      items[i].volume = StringToDouble(parts[5]);
      items[i].sl = StringToDouble(parts[6]);
      items[i].tp = StringToDouble(parts[7]);
      items[i].valid_until = StringToInteger(parts[8]);
      items[i].begun = StringToInteger(parts[9]);
      items[i].attempts = (int)StringToInteger(parts[10]);
      items[i].tickets = parts[11];
      items[i].executed = parts[12] == "1";
      items[i].retcode = (uint)StringToInteger(parts[13]);
      items[i].order = (ulong)StringToInteger(parts[14]);
      items[i].deal = (ulong)StringToInteger(parts[15]);
      items[i].price = StringToDouble(parts[16]);
      items[i].done_volume = StringToDouble(parts[17]);
      items[i].duplicate = parts[18] == "1";
      items[i].words = parts[19];
     }
  };
