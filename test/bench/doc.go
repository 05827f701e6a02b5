// Package bench measures what a worker costs: how many seconds of processor
// time a million input records take, beside the floor, which is franz-go alone
// doing the reads, the writes and the transactions but none of the work.
//
// Both are processes of their own, so that the operating system says what each
// used; the broker is a third one, on the same machine. A reader that shares no
// code with the application then looks whether every order that was paid has
// exactly one confirmation, over the right amount.
//
//	make bench N=1000000 RUNS=3
//
// BENCH_N and BENCH_RUNS are the same to `go test`; without them the test is
// short and only proves that the benchmark works. BENCH_PROFILE names a folder
// for the workers' CPU profiles.
package bench
