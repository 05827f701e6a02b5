// Package confirm is the main job: it joins orders and payments, and confirms
// an order once, when the payments received for it cover its total.
//
// [Step] is the decision, a pure function from a row and an event to the next
// row and what is to be said. [Define] is its wiring in Goka. [Dispositions]
// reads from a row how each of its payments ended.
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
//   - A cancel or a rejection ends an order that is not confirmed, even one that
//     has not come yet; its payments are unmatched. After the confirmation it is
//     refused.
//   - An order keeps [MaxPayments] payments; what is beyond is unmatched.
//
// Orders and payments commute. Reversals, cancels and rejections do not: with
// them the result is a function of the order in which the records were merged.
package confirm
