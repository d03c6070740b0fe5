// An expert that exports its Strategy Tester run, as docs/expert-advisor.md tells.
#include "SequenceTester.mqh"

input int    Fast  = 12;
input double Lots  = 0.1;
input bool   Trail = true;
input string Note  = "a \"quoted\" note";

double OnTester()
  {
   SeqTesterInput("Fast", Fast);
   SeqTesterInput("Lots", Lots);
   SeqTesterInput("Trail", Trail);
   SeqTesterInput("Note", Note);
   return(SeqTesterExport("MA_Crossover") ? 1.0 : 0.0);
  }
