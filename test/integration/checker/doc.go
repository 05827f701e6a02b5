// Package checker counts what a cluster holds, as a stranger would: it reads
// the topics read_committed, adds up in plain maps what came in, and holds
// what was said against it.
//
// It is made to be independent of what it judges: of this module it uses the
// generated messages and nothing else, and a test holds it to that. It knows
// orders and payments, duplicates, excess and other currencies. Cancels,
// rejections and reversals are beyond it.
package checker
