package topology

import "encoding/json"

// topicJSON is a topic as machines read it: ages in milliseconds, -1 for ever,
// as Kafka writes them.
type topicJSON struct {
	Name        string   `json:"name"`
	Key         string   `json:"key"`
	Partitions  int32    `json:"partitions"`
	Replication int16    `json:"replication"`
	Cleanup     Cleanup  `json:"cleanup"`
	RetentionMS int64    `json:"retention_ms"`
	MaxBytes    int32    `json:"max_message_bytes"`
	Owner       string   `json:"owner"`
	Holds       []string `json:"holds"`
}

type processorJSON struct {
	Name        string   `json:"name"`
	Group       string   `json:"group"`
	Inputs      []string `json:"inputs"`
	Outputs     []string `json:"outputs"`
	Table       string   `json:"table,omitempty"`
	DeadLetters string   `json:"dead_letters,omitempty"`
}

// JSON returns the map for machines, indented.
func (t Topology) JSON() ([]byte, error) {
	processors := []processorJSON{}
	for _, p := range t.Processors {
		processors = append(processors, processorJSON(p))
	}
	return json.MarshalIndent(struct {
		Topics     []topicJSON     `json:"topics"`
		Processors []processorJSON `json:"processors"`
	}{topicsJSON(t.Topics), processors}, "", "  ")
}

func topicsJSON(topics []Topic) []topicJSON {
	out := make([]topicJSON, len(topics))
	for i, t := range topics {
		out[i] = topicJSON{
			t.Name, t.Key, t.Partitions, t.Replication, t.Cleanup,
			millis(t.Retention), t.MaxBytes, t.Owner, t.Holds,
		}
	}
	return out
}
