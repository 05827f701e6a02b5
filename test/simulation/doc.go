// Package simulation runs the whole application in virtual time: a broker, two
// workers with the engine, the processor confirm and their tables, and a loader,
// in one bubble of testing/synctest. An hour passes in a second or two, in which
// workers are killed at the worst moments and the broker refuses, fails and
// falls silent. Then the faults end, everything has to be caught up with, and an
// oracle that shares no code with the application says what must have come out.
//
// A seed fixes the traffic, and when faults and kills are asked for; the
// scheduler stays free. A failure may therefore need several runs of its seed to
// come again, and says as much as it can at once.
//
//	go test ./test/simulation            50 seeds, one process each
//	go test -short ./test/simulation     5 seeds
//	make sim RUNS=1000                   the seeds 1 to 1000
//	make sim SEED=7                      one of them
//	make sim SEED=7 RUNS=20              20 of them, from 7 on
//	go test -tags unguarded ./test/simulation
//
//	SIM_LATENCY=1 make sim RUNS=100      requests take some virtual milliseconds
//
// With latency more states are met; but in one of about a hundred seeds the
// Kafka client waits for one of its mutexes whose holder waits for time to pass,
// which stops virtual time. Such a seed is run once more.
//
// The tag unguarded builds the engine without its guard against the unknown end
// of a transaction; the test then passes if the simulation notices. That rows go
// to disk too early is noticed by TestRowsBeforeKafkaAreNoticed, and what the
// oracle itself notices is shown by TestOracleNotices.
package simulation
