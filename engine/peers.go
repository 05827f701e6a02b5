package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/topology/keyhash"
)

// Workers of a group find each other through the group itself: each puts the
// address under which it answers into the user data of its member metadata, where
// the protocol leaves room for it, and the coordinator tells who has which
// partition. Nothing has to be kept in step, and nothing else has to run.

// addressed is what the user data begins with, so that what other programs put
// there is not taken for an address.
const addressed = "tally-address:"

// maxAddress bounds what a member may say, in bytes.
const maxAddress = 300

// ErrNotRunning means that the engine has not got to know its topics yet.
var ErrNotRunning = errors.New("engine: it is not running yet")

// advertiser is a balancer that sends the address of its member along. Balancing
// itself does not look at it.
type advertiser struct {
	kgo.GroupBalancer
	address string
}

// JoinGroupMetadata adds the address to what the balancer says.
func (a advertiser) JoinGroupMetadata(
	interests []string, current map[string][]int32, generation int32,
) []byte {
	plain := a.GroupBalancer.JoinGroupMetadata(interests, current, generation)
	var meta kmsg.ConsumerMemberMetadata
	if a.address == "" || meta.ReadFrom(plain) != nil {
		return plain
	}
	meta.UserData = []byte(addressed + a.address)
	return meta.AppendTo(nil)
}

// balancer keeps the inputs of a partition together.
func (e *Engine) balancer() kgo.GroupBalancer {
	return advertiser{kgo.RangeBalancer(), e.cfg.Advertise}
}

// know is called when the topics are known.
func (e *Engine) know() { e.width.Store(e.counts[e.firstInput()]) }

// Partition returns the partition in which the row of key is, or [ErrNotRunning].
func (e *Engine) Partition(key string) (int32, error) {
	n := e.width.Load()
	if n == 0 {
		return 0, ErrNotRunning
	}
	return keyhash.Partition([]byte(key), n), nil
}

// Width returns how many partitions the table has in all, or 0 while that is not
// known.
func (e *Engine) Width() int32 { return e.width.Load() }

// Peers returns the addresses by partition of the group's table, each the
// [Config.Advertise] of the worker that has the partition, this one's included. A
// partition is absent while a rebalance is under way, and if its worker advertises
// nothing. The group's coordinator is asked each time.
//
// An answer may be out of date when it arrives: whoever is asked under an address
// must say whether the partition is still there.
func (e *Engine) Peers(ctx context.Context) (map[int32]string, error) {
	if e.width.Load() == 0 {
		return nil, ErrNotRunning
	}
	groups, err := e.admin.kadm.DescribeGroups(ctx, e.cfg.Group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("engine: ask for the members of group %s: %w", e.cfg.Group, err)
	}
	peers := map[int32]string{}
	input := e.firstInput()
	for _, m := range groups[e.cfg.Group].Members {
		said, ok := m.Join.AsConsumer()
		has, ok2 := m.Assigned.AsConsumer()
		if !ok || !ok2 {
			continue
		}
		address, ok := strings.CutPrefix(string(said.UserData), addressed)
		if !ok || address == "" || len(address) > maxAddress {
			continue
		}
		for _, t := range has.Topics {
			if t.Topic != input {
				continue
			}
			for _, p := range t.Partitions {
				peers[p] = address
			}
		}
	}
	return peers, nil
}
