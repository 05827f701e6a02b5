package simulation

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// faulty tells whether a fault of a kind happens now, which is once in n times
// until the broker is healed.
func (s *simulation) faulty(kind string, n int) bool {
	if s.healed.Load() || !s.chance.oneIn("fault: "+kind, n) {
		return false
	}
	s.count("fault: " + kind)
	return true
}

// misbehave makes the broker refuse and drop what transactions and the group
// are made of.
func (s *simulation) misbehave() {
	refuse := func(key kmsg.Key, err *kerr.Error, top bool, n int) {
		kind := key.Name() + ": " + err.Message
		s.cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{key}, Err: err, TopLevel: top, Count: -1,
			When: func(kmsg.Request) bool { return s.faulty(kind, n) },
		})
	}
	refuse(kmsg.TxnOffsetCommit, kerr.IllegalGeneration, false, 900)
	refuse(kmsg.TxnOffsetCommit, kerr.NotCoordinator, false, 900)
	refuse(kmsg.TxnOffsetCommit, kerr.CoordinatorLoadInProgress, false, 900)
	refuse(kmsg.TxnOffsetCommit, kerr.RequestTimedOut, false, 900)
	refuse(kmsg.EndTxn, kerr.UnknownServerError, true, 900)
	refuse(kmsg.EndTxn, kerr.NotCoordinator, true, 900)
	refuse(kmsg.EndTxn, kerr.ConcurrentTransactions, true, 900)
	refuse(kmsg.Heartbeat, kerr.RebalanceInProgress, true, 800)
	refuse(kmsg.Heartbeat, kerr.IllegalGeneration, true, 800)
	refuse(kmsg.Heartbeat, kerr.NotCoordinator, true, 800)
	refuse(kmsg.InitProducerID, kerr.CoordinatorNotAvailable, true, 20)
	refuse(kmsg.InitProducerID, kerr.ConcurrentTransactions, true, 20)
	refuse(kmsg.OffsetFetch, kerr.NotCoordinator, false, 60)
	for _, key := range []kmsg.Key{kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.JoinGroup, kmsg.SyncGroup} {
		s.drop(key, map[kmsg.Key]int{kmsg.JoinGroup: 40, kmsg.SyncGroup: 40}[key])
	}
}

// drop closes the connection instead of executing a request.
func (s *simulation) drop(key kmsg.Key, n int) {
	if n == 0 {
		n = 600
	}
	s.cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		if s.faulty("dropped "+key.Name(), n) {
			return nil, errors.New("simulation: connection dropped"), true
		}
		return nil, nil, false
	})
}
