package perigee

import (
	"math/rand"
	"net"
	"strconv"
)

// An Endpoint is a copy: it stays what it was whatever happens to the snapshot.
type Endpoint struct {
	ID             string
	Address        string // text: an IP address, a name, or a unix socket's path
	Port           uint16
	Slot, SlotTerm uint32 // which instance it is
	Version        uint64 // of the snapshot it came from
}

// HostPort is what net.Dial wants.
func (e Endpoint) HostPort() string {
	return net.JoinHostPort(e.Address, strconv.Itoa(int(e.Port)))
}

const (
	kindSnapshot = 0x70616e73
	rowSize      = 64

	// The balancers whose picks are a walk over order[]. All others are picked by the alias table,
	// which every block has for those who do not know its balancer.
	roundRobin         = 1
	weightedRoundRobin = 4
)

// A snapshot is one block of a service, its head copied and checked: what it points to lies in it.
type snapshot struct {
	file                         *file
	block                        block
	entry, current               uint64 // where the word that named it is, and what it was
	version, bytes               uint64
	count, pickable, cycle, kind uint64
	healthy                      uint64 // the first rows, or fewer than can be picked
	rows, order, alias           uint64
}

func openSnapshot(f *file, entry, current uint64) (*snapshot, error) {
	b, err := f.block(current)
	if err != nil {
		return nil, err
	}
	if b.room < 128 {
		return nil, ErrDamaged
	}
	word := func(at uint64) uint64 { return uint64(f.load32(b.at + at)) }
	kind := word(0)
	s := &snapshot{file: f, block: b, entry: entry, current: current, bytes: word(4), version: f.load64(b.at + 8),
		count: word(24), healthy: word(28), pickable: word(32), cycle: word(36), kind: word(40), rows: word(48), order: word(52), alias: word(56)}
	if !f.holds(b) {
		return nil, ErrAgain
	}
	fits := func(at, count, size uint64) bool { return at%4 == 0 && at+count*size <= s.bytes }
	if kind != kindSnapshot || s.bytes > b.room || (s.bytes|s.rows|s.alias)%8 != 0 || s.pickable > s.count || s.healthy > s.count || (s.pickable == 0) != (s.cycle == 0) ||
		!fits(s.rows, s.count, rowSize) || !fits(s.order, s.cycle, 4) || !fits(s.alias, s.pickable, 8) {
		return nil, ErrDamaged
	}
	return s, nil
}

// isCurrent says that no newer one has been published.
func (s *snapshot) isCurrent() bool {
	return s.file.load64(s.entry) == s.current
}

// choose gives a row, to be compared with the count. pickable > 0.
func (s *snapshot) choose(turn uint32) uint64 {
	if s.kind == roundRobin || s.kind == weightedRoundRobin {
		return uint64(s.file.load32(s.block.at + s.order + uint64(turn)%s.cycle*4))
	}
	cell := uint64(rand.Int63n(int64(s.pickable)))
	value := s.file.load64(s.block.at + s.alias + cell*8)
	if rand.Uint32() < uint32(value) {
		return cell
	}
	return value >> 32
}

// another walks over all that can be picked, from anywhere; e when all of it was tried.
func (s *snapshot) another(tried []Endpoint, e Endpoint) (Endpoint, error) {
	from := uint64(rand.Int63n(int64(s.pickable)))
	for i := uint64(0); i < s.pickable; i++ {
		other, err := s.endpoint((from + i) % s.pickable)
		if err != nil || !among(tried, other) {
			return other, err
		}
	}
	return e, nil
}

// endpoint copies a row. ErrAgain: it was not the row.
func (s *snapshot) endpoint(row uint64) (Endpoint, error) {
	f, at := s.file, s.block.at+s.rows+row*rowSize
	if row >= s.count {
		return Endpoint{}, s.fault()
	}
	slot, port, detail := f.load64(at), f.load64(at+8), f.load64(at+16)
	e := Endpoint{Slot: uint32(slot), SlotTerm: uint32(slot >> 32), Port: uint16(port), Version: s.version}
	where, length := s.rows+row*rowSize+24, detail>>48&0xff
	if length > 39 {
		where = uint64(f.load32(at + 24))
	}
	if where+length > s.bytes {
		return Endpoint{}, s.fault()
	}
	e.Address = f.text(s.block.at+where, length)
	about := uint64(uint32(detail))
	if about%8 != 0 || about+8 > s.bytes {
		return Endpoint{}, s.fault()
	}
	length = f.load64(s.block.at+about) & 0xffff
	if about+8+length > s.bytes {
		return Endpoint{}, s.fault()
	}
	e.ID = f.text(s.block.at+about+8, length)
	if !f.holds(s.block) {
		return Endpoint{}, ErrAgain
	}
	return e, nil
}

// fault says what is wrong with a block that does not make sense.
func (s *snapshot) fault() error {
	if s.file.holds(s.block) {
		return ErrDamaged
	}
	return ErrAgain
}
