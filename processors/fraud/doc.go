// Package fraud suspects orders of customers who order too much at once.
//
// Orders are keyed by order and judged by customer, so the service is two
// processors with an inner topic between them: the one of [DefineRekey] hands each
// order on under its customer's id, the one of [Rules.Define] judges it. [Rekey]
// and [Step] are the decisions, pure functions; the rest is wiring in Goka.
//
// The rules:
//
//   - Each order has one verdict: FraudCleared, or FraudSuspected with a reason in
//     words.
//   - The orders of a customer in one currency are added up over a window of
//     time, by the times of their records. Two orders are in one window if they
//     are less than its length apart. If any window that holds the order comes to
//     more than the limit, the order is suspected. For records that come in the
//     order of their times that is the window before the order; one that comes
//     late is judged by those after it as well, because these were cleared
//     without it.
//   - A suspected order does not count to the sum of others: it is not going to
//     be carried out, and one order that was mistyped must not lock its customer
//     out. So what was cleared never exceeds the limit, and an order is suspected
//     only because of cleared ones and itself.
//   - A row keeps MaxEntries orders, suspected ones included. An order with so
//     many others less than a window before or after it is suspected: too many
//     orders. It is not kept. Otherwise a full row lets go of the order farthest
//     away in time.
//   - Orders that are two windows older than stream time are let go. A record can
//     thus come one window late and find all that it is judged by; one that comes
//     later still is judged by what is left.
//   - An order that its row knows says nothing new when it comes again, even with
//     another content. One that the row has let go, or has not kept, is judged
//     anew, as a rule in the same words and under the same id. Who takes orders
//     in places each one once. With RepeatSpeech the verdict is said again, in the
//     same words, as at-least-once delivery needs it.
//   - An order without a customer cannot be added to anything and is cleared. It
//     is handed on under its own id, and no row is kept: when it comes again, the
//     same is said under the same id.
package fraud
