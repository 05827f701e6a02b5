// Package lookup is the main job done by a receiver of thin notifications. Of a
// record it takes the order's id alone; what there is to know it asks the order
// service, one look-up for each message, and confirms the order if its payments
// cover the total. It keeps no table.
//
// [Step] is the decision, a pure function. [Client] asks over HTTP, with a time
// limit, a bounded number of attempts and, if that is wanted, a cache. [Define] is
// the wiring in Goka. It is here to be measured beside package confirm, with the
// care that a sensible team takes: connections are kept, only answers that name an
// order are cached, a worker remembers which orders it has confirmed, and a
// record that is delivered again is answered in the same words.
//
// What goes wrong all the same, and why:
//
//   - The service is down for longer than the attempts last: the notice is given
//     up, and the confirmation is lost unless a later notice about the order asks
//     again. Attempts without an end would lose nothing and let every order of the
//     partition wait for one.
//   - A cached answer says "not paid yet", the payment's notice comes while it is
//     fresh, and no further notice will come: the confirmation is lost. Without the
//     cache the look-ups are as many as the messages.
//   - What was confirmed is remembered in memory only, since there is no table. A
//     restart, or a partition that moves to another worker, forgets it: the next
//     notice about an order finds it paid and confirms it again. Doubles have the
//     same event id, so a receiver that keeps ids can drop them.
//   - The answer is about now, not about the time of the notice. Replaying old
//     notices gives what the service says today.
//   - The service carries the load of all its receivers, and is asked for orders
//     that nobody has paid as often as for the others.
package lookup
