package perigee

import (
	"sync/atomic"
	"time"
)

// The balancers that go by load are picked by two choices: of two rows, drawn by weight, the one with the
// lower load. What is in flight is the host's sum, which has this process's own calls in it some
// milliseconds later, or the own where those are more; latencies are the host's.
const (
	leastRequest = 5
	p2cEWMA      = 6

	slotInFlight = 4
	slotLatency  = 8
	slotFailing  = 36
	failingMost  = 1 << 31 // of 2^32: half of its calls

	redraws = 3
	force   = time.Second // who lost for so long is taken all the same, so that what is known of it is never old
)

type standing int

const (
	answers standing = iota
	fails
	isEjected
)

type load struct {
	standing standing
	calls    float64
	latency  float64 // 0: unknown
	weight   float64
	picked   time.Duration // ago, by this process; 0: never
}

func (s *snapshot) chooseByLoad(own *page) uint64 {
	one := s.draw()
	two := s.drawOther(one)
	if one == two || one >= s.count || two >= s.count {
		return one
	}
	a, b := s.loadOf(one, own), s.loadOf(two, own)
	if s.kind == leastRequest {
		a.latency, b.latency = 0, 0
	}
	if b.isLessThan(a) {
		one, two, b = two, one, a
	}
	if s.kind == p2cEWMA && b.picked > force && b.standing != isEjected {
		return two
	}
	return one
}

func (s *snapshot) drawOther(row uint64) uint64 {
	for i := 0; i < redraws; i++ {
		if other := s.draw(); other != row {
			return other
		}
	}
	return (row + 1) % s.pickable
}

func (l load) isLessThan(other load) bool {
	if l.standing != other.standing {
		return l.standing < other.standing
	}
	if l.latency == 0 || other.latency == 0 { // as fast as the other
		l.latency, other.latency = 1, 1
	}
	mean := (l.weight + other.weight) / 2
	return l.latency*(l.calls*mean/l.weight+1) < other.latency*(other.calls*mean/other.weight+1)
}

func (s *snapshot) loadOf(row uint64, own *page) load {
	slot, term := s.slotOf(row)
	l := load{weight: float64(s.weightOf(row))}
	l.calls, l.picked = own.of(slot, term)
	if !(l.weight > 0) { // damaged: what weighs nothing is not drawn
		l.weight = 1
	}
	at := s.file.item(slots, uint64(slot), 64)
	if at == 0 || s.file.load32(at) != term || !s.file.agentLives() {
		return l
	}
	if sum := float64(s.file.load32(at + slotInFlight)); sum > l.calls {
		l.calls = sum
	}
	l.latency = float64(s.file.load64(at + slotLatency))
	switch {
	case s.ejected(row):
		l.standing = isEjected
	case s.file.load32(at+slotFailing) > failingMost:
		l.standing = fails
	}
	return l
}

// of an instance: how many calls of this process are in flight, and how long ago it was picked. p nil:
// nothing was counted yet.
func (p *page) of(slot, term uint32) (calls float64, picked time.Duration) {
	if p == nil || slot >= slotsMax {
		return 0, 0
	}
	at := cellsAt + uint64(slot)*64
	count, ms := int32(atomic.LoadUint32(p.word(at+cellInFlight))), atomic.LoadUint32(p.word(at+cellPicked))
	if atomic.LoadUint32(p.word(at)) != term {
		return 0, 0
	}
	if count > 0 {
		calls = float64(count)
	}
	if ms != 0 {
		picked = time.Duration(int32(uint32(clock()/1000000)-ms)) * time.Millisecond
	}
	return calls, picked
}

// agentLives: what it sums up is of now.
func (f *file) agentLives() bool {
	return clock()-int64(f.load64(headerHeartbeat)) < int64(late)
}
