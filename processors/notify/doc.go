// Package notify tells customers and other systems that an order is confirmed, by
// mail and by webhook, and says what became of it.
//
// Nobody can send exactly once: between the receiver's yes and our hearing it the
// connection can break. What is promised instead: a confirmation is never sent
// twice, and each one ends as sent, bounced, or unresolved. [Step] is the decision
// and [Rules.Define] its wiring in Goka; package send does the sending.
//
// The rules:
//
//   - An attempt is asked for by opening a gate in the row. What is asked for
//     leaves the transaction as an effect, after its commit, so that there is no
//     sending without a gate that everybody can see.
//   - Only a definite refusal for the time being opens the gate again, after a
//     pause that doubles, until MaxAttempts tries are refused.
//   - A gate without a result is given up at its deadline, and so is one whose
//     result is that nobody knows. The confirmation is unresolved then, and not
//     sent again. A result that comes later still says how it ended.
//   - A confirmation that comes again opens nothing.
package notify
