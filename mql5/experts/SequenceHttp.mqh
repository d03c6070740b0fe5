// Requests to the bridge: one second at most in one event, and after a failure longer and longer pauses.
#include "SequenceText.mqh"

#define SEQ_EVENT_MS      1000
#define SEQ_LEAST_MS      100
#define SEQ_FIRST_PAUSE   500
#define SEQ_LONGEST_PAUSE 30000

// When to try again after failures: doubling pauses, a third of each by chance so that terminals do not march in step.
class CSeqBackoff
  {
private:
   int               m_failures;
   ulong             m_not_before;

public:
                     CSeqBackoff(void) : m_failures(0), m_not_before(0) {}
   bool              Ready(void) const { return(GetTickCount64() >= m_not_before); }
   int               Failures(void) const { return(m_failures); }
   void              Well(void) { m_failures = 0; m_not_before = 0; }

   void              Failed(void)
     {
      m_failures++;
      double pause = SEQ_FIRST_PAUSE * MathPow(2.0, MathMin(m_failures - 1, 10));
      Pause((int)MathMin(pause, SEQ_LONGEST_PAUSE));
     }

   void              Refused(void)
     {
      m_failures++;
      Pause(SEQ_LONGEST_PAUSE);
     }

private:
   void              Pause(const int milliseconds)
     {
      double share = (2.0 + MathRand() / 32767.0) / 3.0;
      m_not_before = GetTickCount64() + (ulong)(milliseconds * share);
     }
  };

class CSeqHttp
  {
private:
   string            m_url;
   string            m_key;
   int               m_timeout;
   ulong             m_event_began;
   CSeqBackoff       m_line;
   long              m_clock_offset;
   bool              m_clock_known;
   string            m_said;
   string            m_body;

public:
                     CSeqHttp(void) : m_url(""), m_key(""), m_timeout(SEQ_EVENT_MS), m_event_began(0), m_clock_offset(0),
                                      m_clock_known(false), m_said(""), m_body("") {}

   void              Init(const string url, const string key, const int timeout)
     {
      m_url = url;
      while(StringLen(m_url) > 0 && StringGetCharacter(m_url, StringLen(m_url) - 1) == '/')
         m_url = StringSubstr(m_url, 0, StringLen(m_url) - 1);
      m_key = key;
      m_timeout = (int)MathMax(SEQ_LEAST_MS, MathMin(SEQ_EVENT_MS, timeout));
      MathSrand((int)(GetTickCount64() & 0x7fffffff));
     }

   void              BeginEvent(void) { m_event_began = GetTickCount64(); }
   string            Body(void) const { return(m_body); }
   bool              ClockKnown(void) const { return(m_clock_known); }

   // Seconds by which the bridge's clock is ahead of this computer's.
   long              ClockOffset(void) const { return(m_clock_offset); }

   // Seconds since 1970 UTC by the bridge's clock, which also stamped the signals.
   long              UtcNow(void) const { return((long)TimeGMT() + m_clock_offset); }

   // Whether a request may start now: the line is not resting and the event has time left.
   bool              Open(void) const
     {
      return(m_line.Ready() && GetTickCount64() - m_event_began + SEQ_LEAST_MS <= SEQ_EVENT_MS);
     }

   // The HTTP status, or -1 when there was no answer; the answer's text is in Body().
   int               Ask(const string method, const string path, const string body)
     {
      char data[];
      char answer[];
      string headers = "X-API-Key: " + m_key + "\r\nContent-Type: application/json\r\n";
      string answer_headers = "";
      m_body = "";
      if(StringLen(body) > 0)
        {
         int size = StringToCharArray(body, data, 0, WHOLE_ARRAY, CP_UTF8);
         ArrayResize(data, size - 1);   // without the terminating zero
        }
      long left = SEQ_EVENT_MS - (long)(GetTickCount64() - m_event_began);
      int timeout = (int)MathMax((long)1, MathMin((long)m_timeout, left));
      ResetLastError();
      int status = WebRequest(method, m_url + path, headers, timeout, data, answer, answer_headers);
      int error = GetLastError();
      // A connection that broke is told by -1 and, in recent builds, by codes above those of HTTP.
      if(status < 100 || status > 599)
        {
         m_line.Failed();
         Say(Cause(status, error));
         return(-1);
        }
      m_line.Well();
      m_body = CharArrayToString(answer, 0, WHOLE_ARRAY, CP_UTF8);
      long date = SeqHttpDate(answer_headers);
      if(date > 0)
        {
         m_clock_offset = date - (long)TimeGMT();
         m_clock_known = true;
        }
      if(status == 401 || status == 403)
         Say(StringFormat("the bridge refuses the key (%d): paste the content of output_central/bridge.key into InpKey", status));
      else if(status >= 500)
         Say(StringFormat("the bridge answers %s with %d: %s", path, status, StringSubstr(m_body, 0, 200)));
      else if(status < 300)
         Say("");
      return(status);
     }

private:
   // Says a thing once, not at every try; an empty one after trouble says that it is over.
   void              Say(const string text)
     {
      if(text == m_said)
         return;
      if(text == "")
         Print("Sequence: connected again");
      else
         Print("Sequence: ", text);
      m_said = text;
     }

   string            Cause(const int status, const int error) const
     {
      if(error == 4014)
         return("error 4014: allow WebRequest for " + m_url + " in Tools > Options > Expert Advisors");
      if(error == 5200)
         return("error 5200: " + m_url + " is no address; correct InpUrl");
      if(error == 5201)
         return("error 5201: nothing listens at " + m_url + "; start the bridge");
      if(error == 5202)
         return("error 5202: the bridge at " + m_url + " did not answer in time");
      return(StringFormat("error %d (%d): the request to %s failed", error, status, m_url));
     }
  };
