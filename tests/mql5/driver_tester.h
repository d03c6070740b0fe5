// The end of a Strategy Tester pass: the history is in broker.txt, the statistics are in the scenario.
#pragma once

int main() { return OnTester() > 0.0 ? 0 : 1; }
