// Package integration holds the tests of the whole system: the tally command
// as users run it, on every kind of broker that this machine has. Workers are
// processes of their own where a test kills them, else runs of the same
// command within the test.
//
// What came out is judged by package checker, which shares no code with the
// application but the generated messages.
package integration
