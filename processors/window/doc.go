// Package window is the main job done by streaming without a table: both topics
// are kept in memory for a while, and an order is confirmed when its payments are
// in the same window and cover its total.
//
// [Step] is the decision, a pure function. Rules.Define is the wiring in Goka.
// Time is the time of the records. The first record about an order opens its
// window, which reaches as far before it as after it; records may come out of
// order by the grace.
//
// It asks nobody and writes nothing beside its result. What goes wrong, and why:
//
//   - What comes after the window is not joined. The order is not confirmed,
//     however well it was paid, and nothing is said about the money.
//   - What is in memory is gone when the process ends or the partition moves,
//     while the offsets of its records have been committed: orders whose payments
//     come after that are lost. A record that is delivered again can confirm an
//     order a second time, since that it was confirmed is forgotten too. Doubles
//     have the same event id.
//   - Memory grows with the window and the traffic. Here it is bounded: when there
//     are too many orders the oldest is dropped, and lost if it was still open.
//   - A longer window loses less and costs more memory and longer rebuilding; one
//     that is long enough for every late payment is a table without a log.
package window
