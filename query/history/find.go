package history

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/topology/keyhash"
)

// atOnce is how many partitions are read at the same time.
const atOnce = 8

// partition returns the partition of a topic in which a key is.
func (r *Reader) partition(topic, key string) int32 {
	return keyhash.Partition([]byte(key), r.log.Partitions(topic))
}

// A scan finds an order by reading its partition of each topic that is keyed by
// order.
type scan struct {
	r      *Reader
	topics []string
}

// Find looks at the keys alone.
func (s *scan) Find(ctx context.Context, order string) ([]Place, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	var mu sync.Mutex
	var places []Place
	for _, topic := range s.topics {
		p := s.r.partition(topic, order)
		g.Go(func() error {
			var found []Place
			for r, err := range s.r.log.Records(ctx, topic, p) {
				if err != nil {
					return err
				}
				if string(r.Key) == order {
					found = append(found, placeOf(r))
					if err := bearable(len(found), 0); err != nil {
						return err
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			places = append(places, found...)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return places, nil
}

// Views finds orders in the index that a worker's views keep, by
// GET /orders/{id}/places.
type Views struct {
	// Address is the worker's HTTP address, host:port or a URL.
	Address string
	// Client asks; nil is [http.DefaultClient].
	Client *http.Client
	// Patience bounds how long it may take; 0 is 5 s.
	Patience time.Duration
}

// ErrViews means that the worker did not answer with places.
var ErrViews = errors.New("history: the worker does not tell where records are")

// maxPlaces bounds the answer, in bytes: far more than the records of one order.
const maxPlaces = 16 << 20

// unknownOrder is the problem that a worker has with an order that it does not know.
const unknownOrder = "urn:tallystick:problem:order"

// viewsPatience is how long a worker is given by default.
const viewsPatience = 5 * time.Second

// Find asks the worker. An order that it does not know has no places.
func (v *Views) Find(ctx context.Context, order string) ([]Place, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(v.Patience, viewsPatience))
	defer cancel()
	base := v.Address
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	where := strings.TrimSuffix(base, "/") + "/orders/" + url.PathEscape(order) + "/places"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrViews, err)
	}
	client := v.Client
	if client == nil {
		client = http.DefaultClient
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrViews, err)
	}
	defer answer.Body.Close()
	body := json.NewDecoder(io.LimitReader(answer.Body, maxPlaces))
	if answer.StatusCode != http.StatusOK {
		var problem struct {
			Type string `json:"type"`
		}
		if answer.StatusCode == http.StatusNotFound && body.Decode(&problem) == nil &&
			problem.Type == unknownOrder {
			return nil, nil // the order, not the path
		}
		return nil, fmt.Errorf("%w: %s answers %s", ErrViews, where, answer.Status)
	}
	var places []Place
	if err := body.Decode(&places); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrViews, err)
	}
	return places, nil
}

// fetch reads the records at some places. Places in topics that are not looked at
// are passed over.
func (r *Reader) fetch(ctx context.Context, places []Place) ([]*kgo.Record, error) {
	type part struct {
		topic     string
		partition int32
	}
	wanted := map[part][]int64{}
	for _, p := range places {
		if p.Partition < r.log.Partitions(p.Topic) {
			at := part{p.Topic, p.Partition}
			wanted[at] = append(wanted[at], p.Offset)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	var mu sync.Mutex
	var records []*kgo.Record
	size := 0
	for at, offsets := range maps.All(wanted) {
		slices.Sort(offsets)
		g.Go(func() error {
			for k, err := range r.log.Pick(ctx, at.topic, at.partition, slices.Compact(offsets)) {
				if err != nil {
					return err
				}
				mu.Lock()
				records = append(records, alone(k))
				size += len(k.Value)
				err = bearable(len(records), size)
				mu.Unlock()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return records, nil
}

// alone is a record without what else was in its batch.
func alone(k *kgo.Record) *kgo.Record {
	return &kgo.Record{
		Topic: k.Topic, Partition: k.Partition, Offset: k.Offset, Timestamp: k.Timestamp,
		Key: bytes.Clone(k.Key), Value: bytes.Clone(k.Value),
	}
}
