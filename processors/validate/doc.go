// Package validate decides about new orders. It needs the order and what the
// services for stock, fraud and details found about it, in any order and after
// any time; nobody tells these services what to do.
//
// [Step] is the decision, a pure function from a row and an event to the next
// row and the event that is to be said. Rules.Define is its wiring in Goka.
//
// The rules:
//
//   - If all three checks are good, the order is validated, and the event carries
//     the order and how to reach its customer. If one of them is not, the order is
//     rejected once all three are in, with all the reasons in words.
//   - The first order and the first verdict of each service count. What comes
//     again, or otherwise, changes nothing.
//   - An order that was cancelled before the decision is not decided any more.
//   - Once it is decided, or cancelled, the row is a mark of one field. With
//     Rules.RepeatSpeech it is kept whole, to say the decision again.
//
// It reads and writes the topic of orders. Of what it reads there, only that an
// order was placed or cancelled is its business.
package validate
