package kafkatest

import (
	"maps"
	"slices"
	"strings"
)

// Addresses inside the broker's own network: a container's are its own.
type listeners struct {
	clients    string // where clients' connections arrive
	advertised string // what clients are told to connect to
	internal   string // the broker to itself, never through a proxy
	controller string
}

// settings returns the server.properties of a single KRaft node for a small
// machine: little memory, one partition for the inner topics, no waiting.
func settings(c config, l listeners) map[string]string {
	s := map[string]string{
		"process.roles":             "broker,controller",
		"node.id":                   "1",
		"controller.quorum.voters":  "1@" + l.controller,
		"controller.listener.names": "CONTROLLER",
		"listeners": "EXTERNAL://" + l.clients + ",INTERNAL://" + l.internal +
			",CONTROLLER://" + l.controller,
		"advertised.listeners":       "EXTERNAL://" + l.advertised + ",INTERNAL://" + l.internal,
		"inter.broker.listener.name": "INTERNAL",
		"listener.security.protocol.map": "EXTERNAL:PLAINTEXT,INTERNAL:PLAINTEXT," +
			"CONTROLLER:PLAINTEXT",

		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "1",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.num.partitions":             "1",
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.num.partitions":     "1",
		"share.coordinator.state.topic.min.isr":            "1",

		// Records are of any time here and stay; a topic that asks for less is
		// taken at its word soon, not in the middle of some test half a minute on.
		"log.retention.ms":                "-1",
		"log.initial.task.delay.ms":       "100",
		"log.retention.check.interval.ms": "500",

		"auto.create.topics.enable":                                   "false",
		"group.initial.rebalance.delay.ms":                            "0",
		"group.min.session.timeout.ms":                                "1000",
		"message.max.bytes":                                           "4194304",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
		// A killed node may register again only when its old session is over.
		"broker.session.timeout.ms":    "3500",
		"broker.heartbeat.interval.ms": "500",

		"log.cleaner.dedupe.buffer.size": "16777216",
		"num.network.threads":            "2",
		"num.io.threads":                 "2",
		"background.threads":             "2",
	}
	maps.Copy(s, c.settings)
	return s
}

// jvmFlags returns the flags of the broker's JVM. The quick compiler makes it
// start in half the time; measurements want the full one.
func jvmFlags(c config) []string {
	if c.large {
		return []string{"-Xms1g", "-Xmx1g"}
	}
	return []string{"-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}
}

// jvmEnv returns the same flags as the public image takes them.
func jvmEnv(c config) (heap, rest string) {
	flags := jvmFlags(c)
	rest = strings.Join(flags[2:], " ")
	if rest == "" {
		rest = "-XX:+UseG1GC"
	}
	return strings.Join(flags[:2], " "), rest
}

// environment writes settings as the public image takes them.
func environment(s map[string]string) map[string]string {
	env := make(map[string]string, len(s))
	names := strings.NewReplacer(".", "_", "-", "__", "_", "___")
	for name, value := range s {
		env["KAFKA_"+strings.ToUpper(names.Replace(name))] = value
	}
	return env
}

// properties writes settings as a server.properties file.
func properties(s map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s)) {
		b.WriteString(name + "=" + s[name] + "\n")
	}
	return b.String()
}
