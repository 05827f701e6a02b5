// Package notify_test runs the processor notify on the engine, with a real mail
// server and a real webhook, and kills its workers.
package notify_test
