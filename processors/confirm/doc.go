// Package confirm is the main job: it joins orders and payments, and confirms
// an order once, when the payments received for it cover its total.
//
// [Step] is the decision, a pure function from a row and an event to the next
// row and what is to be said. [Define] is its wiring in Goka. [Dispositions]
// and [FateOf] read from a row how its payments ended.
//
// The rules:
//
//   - Whether the order or its payments come first makes no difference, neither
//     to what is said nor to the row that remains. Payments are counted in the
//     order in which they came.
//   - A payment counts once by its id, and only in the order's currency; one in
//     another currency is a mismatch. The payment that covers the total is split
//     if it is more than what was needed; the rest of it, and every later
//     payment, is excess. A payment of 0 is never excess, and an order of 0 is
//     confirmed at once.
//   - A record that comes again changes nothing. One with the id of another and
//     a different content is a conflict: the first one counts.
//   - A reversal lowers the sum as long as nothing has been said about its
//     payment, even if it comes before the payment. After that what was said
//     stands, and the reversal is an exception.
//   - A correction is an event like others. A payment that is voided is one that was
//     reversed, with the reason of whoever corrects; money that is adjusted is a
//     payment by [AdjustedMethod]. Neither edits what was said before.
//   - A cancel or a rejection ends an order that is not confirmed, even one that
//     has not come yet; its payments are unmatched. After the confirmation it is
//     refused, after the order has expired it changes nothing.
//   - An order that is not covered when it is due expires, and what comes after is
//     late, by the times of the records: also what waited for an order that was read
//     after it. Payments whose order does not come in time are unmatched.
//   - Whatever part of a payment is not confirmed, pending or reversed is owed
//     back, and that is said once.
//   - A settled row is cut down to a digest that still recognizes what comes again,
//     and deleted later.
//   - An order keeps [MaxPayments] payments; what is beyond is unmatched.
//
// Orders and payments that are in time commute. Reversals, cancels, rejections and
// deadlines do not: with them the result is a function of the order in which the
// records were merged, and of their times. A deadline that passed is noticed by
// the next event of the row, whatever it is, before anything else: [Lapsed] is one
// that comes for no other reason.
package confirm
