// Package inventory keeps stock for orders: all lines of an order, or none.
//
// Stock is known by product and wanted by order, so the service is two processors
// with inner topics between them. [Step] decides by order, [StepStock] by product;
// both are pure functions from a row and an event to the next row and what is to
// be said. [Define] and [DefineStock] are their wiring in Goka.
//
// By order: when an order is placed, each of its products is asked once to reserve
// the sum of its lines. When all have answered, the order has one check:
// StockReserved, or StockShort, which names the products that lacked; then what
// others had reserved is released. What is reserved is shipped when the order is
// confirmed, and released when it expires or is withdrawn. Events of different
// topics may come in any order:
//
//		state           order placed    all answered    confirmed   expired, withdrawn
//		(no row)        RESERVING (1)   -               remembered  remembered
//		AWAITING_ORDER  RESERVING (1,2) -               -           -
//		RESERVING       -               (3)             remembered  remembered
//		RESERVED        -               -               SHIPPED     RELEASED
//		SHIPPED         -               -               -           -
//		RELEASED        -               -               -           -
//		REFUSED         -               -               -           -
//
//	 1. An order without lines is RESERVED at once, and StockReserved is said.
//	 2. If what is remembered is that the order has ended, nothing is asked:
//	    REFUSED, and StockShort names no product.
//	 3. All granted: RESERVED and StockReserved, and if a confirmation is
//	    remembered, all is shipped at once: SHIPPED. Any denied, or an end is
//	    remembered: REFUSED and StockShort, and what was granted is released.
//
// A dash changes nothing. Of a confirmation and an end the first one counts;
// confirm never says both. Cancels and rejections in the topic of orders are left
// aside: it is confirm that knows whether they came in time, and says that the
// order is withdrawn.
//
// A row in one of the last three states is cut down to that state, a few bytes,
// and stays: an order that is placed again, by whom or when ever, with these lines
// or others, finds it, and nothing is asked or said.
//
// By product: the row counts what is on hand, what of it is reserved, and what was
// shipped. Something is reserved if what is on hand and not reserved suffices,
// else refused. Stock that is added adds; a count replaces what is on hand,
// reserved pieces included. If it finds less than is reserved, nothing more is
// reserved until there is enough again, and what cannot be shipped for lack of
// goods is owed, stays reserved, and goes out with the next goods. No number is
// ever negative: what is on hand and what was shipped is together what was added,
// corrected by the counts, and what is reserved is the sum over the orders that
// are RESERVED, or about to be, and of what is owed.
//
// The row of a product does not know the orders behind its numbers, and cannot
// tell a record that comes again from another one. The service therefore needs
// exactly-once delivery: see [ExactlyOnce]. What gives back more than is reserved
// stops it with [ErrNotReserved]. A StockAdded that the warehouse itself says
// twice counts twice, until the next count.
package inventory
