package topology

import "encoding/json"

// topicJSON is a topic as machines read it: ages in milliseconds, -1 for ever,
// as Kafka writes them.
type topicJSON struct {
	Name        string  `json:"name"`
	Key         string  `json:"key"`
	Partitions  int32   `json:"partitions"`
	Replication int16   `json:"replication"`
	Cleanup     Cleanup `json:"cleanup"`
	RetentionMS int64   `json:"retention_ms"`
	MaxBytes    int32   `json:"max_message_bytes"`
	// Owner is the one who writes all of it, if there is one.
	Owner  string     `json:"owner,omitempty"`
	Holds  []string   `json:"holds"`
	Kinds  []kindJSON `json:"kinds"`
	Copies string     `json:"copies,omitempty"`
	Inner  string     `json:"inner,omitempty"`
}

type kindJSON struct {
	Name   string `json:"name"`
	Writer string `json:"writer"`
}

type processorJSON struct {
	Name        string   `json:"name"`
	Service     string   `json:"service"`
	Group       string   `json:"group"`
	Inputs      []string `json:"inputs"`
	Lookups     []string `json:"lookups,omitempty"`
	Outputs     []string `json:"outputs"`
	Table       string   `json:"table,omitempty"`
	DeadLetters string   `json:"dead_letters,omitempty"`
	Journal     string   `json:"journal,omitempty"`
	Parked      string   `json:"parked,omitempty"`
	Retry       string   `json:"retry,omitempty"`
	Unordered   bool     `json:"unordered,omitempty"`
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
		kinds := make([]kindJSON, len(t.Holds))
		for j, k := range t.Holds {
			kinds[j] = kindJSON(k)
		}
		owner := ""
		if w := t.Writers(); len(w) == 1 {
			owner = w[0]
		}
		out[i] = topicJSON{
			t.Name, t.Key, t.Partitions, t.Replication, t.Cleanup,
			millis(t.Retention), t.MaxBytes, owner, t.Kinds(), kinds, t.Copies, t.Inner,
		}
	}
	return out
}
