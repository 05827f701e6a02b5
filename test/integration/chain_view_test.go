package integration_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/test/integration/oracle"
)

// look asks for the view of every order, now of one worker that has views and now of
// another, whoever has the order, and for the places of some.
func (c *chain) look(shop *oracle.Shop) {
	c.t.Helper()
	var where []string
	for i, crew := range crews {
		if slices.Contains(crew, "views") {
			where = append(where, c.workers[i].address())
		}
	}
	began := time.Now()
	orders := shop.Orders()
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(16)
	for i, id := range slices.Sorted(maps.Keys(orders)) {
		g.Go(func() error {
			at := where[i%len(where)] + "/orders/" + id
			v, err := c.view(at, orders[id])
			if err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			if i%20 == 0 {
				if err := c.get(at+"/places", &v.Places); err != nil {
					return fmt.Errorf("%s/places: %w", at, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			shop.View(v)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("%d views in %v", len(orders), time.Since(began).Round(time.Millisecond))
}

// view asks until the view has so many records, which a commit may take a moment for.
func (c *chain) view(where string, records int) (*oracle.View, error) {
	for deadline := time.Now().Add(patience); ; {
		v := &oracle.View{}
		err := c.get(where, v)
		if err == nil && v.Records >= records {
			return v, nil
		}
		if time.Now().After(deadline) {
			return v, err // the oracle will say what lacks
		}
		time.Sleep(pause)
	}
}

func (c *chain) get(where string, into any) error {
	status, text := asked(c.t, "GET", where, "")
	if status != 200 {
		return fmt.Errorf("%d: %s", status, text)
	}
	return json.Unmarshal([]byte(text), into)
}

// atRest tells that every record was processed and nothing followed from the last of
// them: what the topics had before is what the groups have done, and what they have
// after it.
func (c *chain) atRest() bool {
	before := c.reached()
	groups, err := c.admin.ListGroups(c.t.Context())
	if before == nil || err != nil {
		return false
	}
	for _, group := range groups.Groups() {
		if strings.HasPrefix(group, c.app+"-") && !c.done(group, before) {
			return false
		}
	}
	return maps.EqualFunc(before, c.reached(), maps.Equal)
}

// reached is how far the topics of the stage are, by topic and partition; nil if that
// cannot be told now.
func (c *chain) reached() map[string]map[int32]int64 {
	ends, err := c.admin.ListEndOffsets(c.t.Context())
	if err != nil {
		return nil
	}
	reached := map[string]map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if !strings.HasPrefix(o.Topic, c.prefix) {
			return
		}
		if reached[o.Topic] == nil {
			reached[o.Topic] = map[int32]int64{}
		}
		reached[o.Topic][o.Partition] = o.Offset
	})
	return reached
}

// done tells whether behind what a group has committed there is no record in its
// topics, up to their ends.
func (c *chain) done(group string, ends map[string]map[int32]int64) bool {
	c.t.Helper()
	at, err := c.admin.FetchOffsets(kadm.RequireStable(c.t.Context()), group)
	if err != nil {
		return false
	}
	from, left := map[string]map[int32]kgo.Offset{}, map[string]map[int32]int64{}
	for topic := range at {
		from[topic], left[topic] = map[int32]kgo.Offset{}, map[int32]int64{}
		for partition, end := range ends[topic] {
			committed, _ := at.Lookup(topic, partition)
			if max(0, committed.At) < end {
				from[topic][partition] = kgo.NewOffset().At(max(0, committed.At))
				left[topic][partition] = end
			}
		}
	}
	return len(c.read(from, left)) == 0
}
