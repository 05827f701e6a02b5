// Package orders is the edge: commands about orders come in, and what became of
// them goes out as events. It alone says that an order was placed or cancelled.
//
// [Step] is the decision, a pure function from a row and a command to the next
// row and the event that is to be said. Rules.Define is its wiring in Goka.
//
// The rules:
//
//   - An order is placed once. The same command again, under whatever id and at
//     whatever time, changes nothing and says nothing; another content under the
//     same order id is refused.
//   - A command that contradicts itself is refused: lines in another currency
//     than the total, or lines that do not add up to it. Its order id stays free.
//     An order without lines is taken as it is.
//   - An order that was placed can be cancelled, once. The same cancel again
//     changes nothing; one with another reason is refused, and so is one of an
//     order that nobody placed.
//   - A refusal leaves no trace in the row. A command that cannot be carried out
//     is refused as often as it comes, under the same event id.
//
// At-least-once delivery may bring a refused cancel again after the order has
// been placed, which carries it out. Under exactly-once delivery that cannot be.
package orders
