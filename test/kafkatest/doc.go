// Package kafkatest hands tests a Kafka broker, whatever this machine has.
//
// There are four kinds. A fake is franz-go's kfake in this process. An
// external broker is one that the environment names in TALLY_TEST_BROKERS (a
// comma-separated list; KAFKA_BROKERS is never read, as it may be somebody's
// production). A container is started by testcontainers-go from the image
// KAFKA_IMAGE, or apache/kafka of the version that the project is tested with.
// A process is a JVM started from the jars of KAFKA_CLASSPATH.
//
// [Each] runs one test on every kind; [Start] gives one broker. Brokers of the
// same kind are shared within a test binary, because a real one takes seconds
// to start: tests name their topics by [Broker.Prefix] to stay apart. A test
// that stops, kills or cuts off its broker asks for one of its [Own].
//
// TALLY_TEST_KINDS narrows the kinds (a comma-separated list of kfake,
// external, container and process). Under -short only the fake is used. A kind
// that is not to be had skips its tests, with the reason; KAFKA_TESTS=required
// turns those skips into failures. Every broker that was started is noted in
// the file that TALLY_TEST_REPORT names, one line each.
//
// Containers and processes of a test binary that dies in any way, SIGKILL
// included, are removed by a small shell that waits for its end.
package kafkatest
