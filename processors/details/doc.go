// Package details checks that a new order names things that exist, and carries
// what it found to the services behind, so that none of them has to ask.
//
// [Step] is the decision, a pure function from an order and what is known of its
// customer and its products. Rules.Define is its wiring in Goka: customers and
// products are compacted topics that other systems write, of which each worker
// keeps a replica. It goes on while their owners are down; what it knows may be
// older than what they know.
//
// The rules:
//
//   - A customer whose account is closed and a product that is discontinued are
//     refused.
//   - A customer that is not known is accepted, without a contact; a product that
//     is not known is accepted too. Rules can ask for the opposite.
//   - A record of the compacted topics that cannot be read, or is about another
//     customer or product than its key, counts as not there, and is named by
//     Topics.Unreadable.
//
// The processor keeps no rows. An order that comes again is checked again, and
// found to be what it is by then; validate takes the first verdict.
package details
