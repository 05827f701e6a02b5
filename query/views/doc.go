// Package views is the read side's own model: a row per order that is made for
// reading, folded out of everything that the topics say about it.
//
// A view decides nothing. It reads topics that do not wait for each other, so the
// row must not depend on which of them was read first: what comes on one topic is
// taken in its order, and what comes on several is put together by operations for
// which order does not matter. [Step] says how; that is why the processor has no
// journal.
//
// Beside what happened the row keeps where it is written, [Places]: the index that
// lets a question about one order be answered from the log without a scan.
package views
