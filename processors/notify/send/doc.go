// Package send carries out what the processor notify asks for: it sends
// confirmations by SMTP and as CloudEvents by HTTP, and reports how each attempt
// ended.
//
// An attempt ends in one of three ways, which must not be mixed up. Accepted: the
// receiver said so. Refused: it has certainly not taken the message, because it
// said so, or because the connection broke before it could have. Unsettled: the
// message, or the end of it, was on its way and no answer came. Only what was
// refused may be sent again.
package send
