// Text that goes over the wire and into files: JSON values, fields of a line, the Date header of an answer.

// A JSON string with its quotes; control characters become spaces.
string SeqJson(const string text)
  {
   string out = text;
   StringReplace(out, "\\", "\\\\");
   StringReplace(out, "\"", "\\\"");
   for(int i = 0; i < StringLen(out); i++)
      if(StringGetCharacter(out, i) < 32)
         StringSetCharacter(out, i, ' ');
   return("\"" + out + "\"");
  }

// A JSON number; what JSON has no number for (no losses: DBL_MAX) is null.
string SeqNumber(const double value, const int digits)
  {
   if(!MathIsValidNumber(value) || MathAbs(value) >= 1.0e15)
      return("null");
   return(DoubleToString(value, digits));
  }

string SeqBool(const bool value)
  {
   return(value ? "true" : "false");
  }

// A price as JSON; 0 stands for none.
string SeqPrice(const double value, const int digits)
  {
   return(value > 0.0 ? SeqNumber(value, digits) : "null");
  }

// What a JSON answer says of a name: 1 for true, 0 for false, -1 where it says neither.
int SeqJsonFlag(const string json, const string name)
  {
   int at = StringFind(json, "\"" + name + "\"");
   if(at < 0)
      return(-1);
   string rest = StringSubstr(json, at + StringLen(name) + 2, 16);
   StringReplace(rest, " ", "");
   if(StringFind(rest, ":true") == 0)
      return(1);
   return(StringFind(rest, ":false") == 0 ? 0 : -1);
  }

// Whether a text can stand in an address as it is.
bool SeqIsName(const string text)
  {
   for(int i = 0; i < StringLen(text); i++)
     {
      ushort sign = StringGetCharacter(text, i);
      bool word = (sign >= 'a' && sign <= 'z') || (sign >= 'A' && sign <= 'Z') || (sign >= '0' && sign <= '9');
      if(!word && (i == 0 || (sign != '-' && sign != '_' && sign != '.')))
         return(false);
     }
   return(StringLen(text) > 0 && StringLen(text) <= 64);
  }

// One field of a line: neither the separator nor a line end inside.
string SeqField(const string text)
  {
   string out = text;
   StringReplace(out, "|", "/");
   StringReplace(out, "\r", " ");
   StringReplace(out, "\n", " ");
   return(out);
  }

// Seconds since 1970 UTC of the Date header ("Sat, 21 Nov 2026 10:03:11 GMT"); 0 where there is none.
long SeqHttpDate(const string headers)
  {
   string lower = headers;
   StringToLower(lower);
   int at = StringFind(lower, "date: ");
   if(at < 0 || (at > 0 && StringGetCharacter(lower, at - 1) != '\n'))
      return(0);
   string stamp = StringSubstr(lower, at + 11, 20);   // 21 nov 2026 10:03:11
   string parts[];
   if(StringSplit(stamp, ' ', parts) != 4)
      return(0);
   int month = StringFind("janfebmaraprmayjunjulaugsepoctnovdec", parts[1]);
   if(month < 0)
      return(0);
   string text = StringFormat("%s.%02d.%s %s", parts[2], month / 3 + 1, parts[0], parts[3]);
   return((long)StringToTime(text));
  }

// Replaces a file of the sandbox whole, so that neither a crash nor a reader meets half of it.
bool SeqWriteWhole(const string name, const string text, const int common)
  {
   int file = FileOpen(name + ".tmp", FILE_WRITE | FILE_TXT | FILE_ANSI | common, '\t', CP_UTF8);
   if(file == INVALID_HANDLE)
      return(false);
   bool written = FileWriteString(file, text) > 0 || StringLen(text) == 0;
   FileFlush(file);
   FileClose(file);
   return(written && FileMove(name + ".tmp", common, name, FILE_REWRITE | common));
  }

// Seconds by which the broker's clock is ahead of UTC, to the quarter of an hour.
long SeqServerOffset(const long utc)
  {
   long seconds = (long)TimeTradeServer() - utc;
   return((long)MathRound((double)seconds / 900.0) * 900);
  }
