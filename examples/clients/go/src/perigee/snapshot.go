package perigee

import (
	"math"
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
	headSize     = 128
	rowSize      = 64
	groupSize    = 32

	slots            = 2 // granule of the live slots' map
	slotEjectedUntil = 16
)

// A snapshot is one block of a service, its head copied and checked: what it points to lies in it.
type snapshot struct {
	file                            *file
	block                           block
	entry, current                  uint64 // where the word that named it is, and what it was
	version, bytes                  uint64
	count, healthy, pickable, cycle uint64 // rows: what can be picked, the other healthy ones, critical ones
	kind                            uint64 // of balancer
	rows, order, alias              uint64
	groups, groupCount, top         uint64
	ports, portCount                uint64
}

func openSnapshot(f *file, entry, current uint64) (*snapshot, error) {
	b, err := f.block(current)
	if err != nil {
		return nil, err
	}
	if b.room < headSize {
		return nil, ErrDamaged
	}
	word := func(at uint64) uint64 { return uint64(f.load32(b.at + at)) }
	kind := word(0)
	s := &snapshot{file: f, block: b, entry: entry, current: current, bytes: word(4), version: f.load64(b.at + 8),
		count: word(24), healthy: word(28), pickable: word(32), cycle: word(36), kind: word(40),
		rows: word(48), order: word(52), alias: word(56),
		groups: word(60), groupCount: word(64), top: word(68), ports: word(80), portCount: word(84)}
	if !f.holds(b) {
		return nil, ErrAgain
	}
	fits := func(at, count, size uint64) bool { return at%4 == 0 && at+count*size <= s.bytes }
	if kind != kindSnapshot || s.bytes > b.room || (s.bytes|s.rows|s.alias|s.groups)%8 != 0 ||
		s.pickable > s.count || s.healthy > s.count || (s.pickable == 0) != (s.cycle == 0) ||
		!fits(s.rows, s.count, rowSize) || !fits(s.order, s.cycle, 4) || !fits(s.alias, s.pickable, 8) ||
		!fits(s.groups, s.groupCount, groupSize) || !fits(s.ports, s.portCount, 4) {
		return nil, ErrDamaged
	}
	return s, nil
}

// isCurrent says that no newer one has been published.
func (s *snapshot) isCurrent() bool {
	return s.file.load64(s.entry) == s.current
}

// Words of the block; the caller has compared the offset with its size.
func (s *snapshot) word32(at uint64) uint64 { return uint64(s.file.load32(s.block.at + at)) }
func (s *snapshot) word64(at uint64) uint64 { return s.file.load64(s.block.at + at) }
func (s *snapshot) word16(at uint64) uint64 { return s.word32(at&^3) >> ((at & 2) * 8) & 0xffff }

// Of a row's words; row < count.
func (s *snapshot) rowAt(row uint64) uint64 { return s.rows + row*rowSize }

func (s *snapshot) slotOf(row uint64) (slot, term uint32) {
	word := s.word64(s.rowAt(row))
	return uint32(word), uint32(word >> 32)
}

func (s *snapshot) weightOf(row uint64) float32 {
	return math.Float32frombits(uint32(s.word64(s.rowAt(row)+8) >> 32))
}

func (s *snapshot) tierOf(row uint64) uint64 { return s.word64(s.rowAt(row)+16) >> 56 }

// ejected: the agent keeps calls from it for a while, because it failed.
func (s *snapshot) ejected(row uint64) bool {
	slot, term := s.slotOf(row)
	at := s.file.item(slots, uint64(slot), 64)
	return at != 0 && s.file.load32(at) == term && s.file.load64(at+slotEjectedUntil) > uint64(clock())
}

// endpoint copies a row. ErrAgain: it was not the row. `port` "": its default one.
func (s *snapshot) endpoint(row uint64, port string) (Endpoint, error) {
	if row >= s.count {
		return Endpoint{}, s.fault()
	}
	f, at := s.file, s.rowAt(row)
	slot, term := s.slotOf(row)
	detail := s.word64(at + 16)
	e := Endpoint{Slot: slot, SlotTerm: term, Port: uint16(s.word64(at + 8)), Version: s.version}
	where, length := at+24, detail>>48&0xff
	if length > 39 {
		where = s.word32(at + 24)
	}
	if where+length > s.bytes {
		return Endpoint{}, s.fault()
	}
	e.Address = f.text(s.block.at+where, length)
	about := uint64(uint32(detail))
	if about%8 != 0 || about+8 > s.bytes {
		return Endpoint{}, s.fault()
	}
	counts := s.word64(about)
	length = counts & 0xffff
	if about+8+length > s.bytes {
		return Endpoint{}, s.fault()
	}
	e.ID = f.text(s.block.at+about+8, length)
	found := port == ""
	if !found {
		e.Port, found = s.portOf(about+8+(length+8)&^7, counts>>48, port)
	}
	if !f.holds(s.block) {
		return Endpoint{}, ErrAgain
	}
	if !found {
		return Endpoint{}, ErrNoPort
	}
	return e, nil
}

// portOf looks a name up in `count` pairs of a name's number and a port.
func (s *snapshot) portOf(at, count uint64, name string) (uint16, bool) {
	if at+count*4 > s.bytes {
		return 0, false
	}
	for ; count > 0; at, count = at+4, count-1 {
		pair := s.word32(at)
		number := pair & 0xffff
		if number >= s.portCount {
			continue
		}
		text := s.word32(s.ports + number*4)
		if text%2 != 0 || text+2 > s.bytes {
			continue
		}
		length := s.word16(text)
		if text+2+length <= s.bytes && s.file.text(s.block.at+text+2, length) == name {
			return uint16(pair >> 16), true
		}
	}
	return 0, false
}

// fault says what is wrong with a block that does not make sense.
func (s *snapshot) fault() error {
	if s.file.holds(s.block) {
		return ErrDamaged
	}
	return ErrAgain
}
