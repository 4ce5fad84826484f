package perigee

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// An Outcome is how a call went, as perigee.h has it.
type Outcome int

const (
	Success Outcome = iota
	ServerError
	Timeout
	ConnectFailure
)

// The page on which this process counts: runtime/catalog/feedback.h. All goroutines write its shared
// lane, by read-modify-writes; the 1 GiB exists only where it is touched.
const (
	pageMagic  = 0x0064656566726570
	pageLayout = 1
	slotsMax   = 1 << 20
	laneAt     = granule
	changesAt  = laneAt + granule
	cellsAt    = changesAt + slotsMax/64*4
	laneSize   = granule + slotsMax/64*4 + slotsMax*64
	pageSize   = granule + 16*laneSize
	epochShift = 38

	pause = 10 * time.Millisecond // between two words to an agent that does not read
	late  = 3 * time.Second       // an agent's heartbeat

	retryPercent = 20 // of the calls in flight may be retries,
	retryLeast   = 3  // but in any case so many

	headerHeartbeat  = 40
	headerCollecting = 100
	entryInFlight    = 28
	entryRetries     = 32

	cellGeneration = 0
	cellInFlight   = 4
	cellPicked     = 24
	cellRetries    = 28
	cellOutcomes   = 32
	cellSum        = 48
	cellOlder      = 56
	cellEpoch      = 60
)

// memfd_create has no name in package syscall.
var memfdCreate = map[string]uintptr{"amd64": 319, "arm64": 279}

type page struct {
	bytes   []byte
	fd      int
	file    atomic.Pointer[file] // whose agent has been given the page
	lock    sync.Mutex           // of what follows, and of cells that begin anew
	agent   net.Conn
	tried   time.Time // to find an agent
	woken   time.Time
	counted uint32 // 1: an agent has been given the page
}

// makePage seals it, so that who reads it cannot be ended by its becoming shorter. nil: not here.
func makePage() *page {
	number, name := memfdCreate[runtime.GOARCH], [...]byte{'p', 'e', 'r', 'i', 'g', 'e', 'e', 0}
	if number == 0 {
		return nil
	}
	fd, _, failed := syscall.Syscall(number, uintptr(unsafe.Pointer(&name[0])), 3 /* cloexec, sealing */, 0)
	if failed != 0 {
		return nil
	}
	p := &page{fd: int(fd)}
	if syscall.Ftruncate(p.fd, pageSize) == nil {
		_, _, failed = syscall.Syscall(syscall.SYS_FCNTL, fd, 1033 /* F_ADD_SEALS */, 7 /* seal, shrink, grow */)
		if failed == 0 {
			p.bytes, _ = syscall.Mmap(p.fd, 0, pageSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_NORESERVE)
		}
	}
	if p.bytes == nil {
		syscall.Close(p.fd)
		return nil
	}
	*(*uint64)(unsafe.Pointer(&p.bytes[0])) = pageMagic
	*(*uint32)(unsafe.Pointer(&p.bytes[8])) = pageLayout
	return p
}

func (p *page) word(at uint64) *uint32 { return (*uint32)(unsafe.Pointer(&p.bytes[at])) }

// announce tells who reads that a cell has changed: after its words.
func (p *page) announce(slot uint32) {
	atomic.AddUint32(p.word(changesAt+uint64(slot/64)*4), 1)
	atomic.AddUint64((*uint64)(unsafe.Pointer(&p.bytes[laneAt])), 1)
}

// cell of an instance, in this epoch; 0: the slot is a later instance's by now.
func (p *page) cell(slot, term, epoch uint32) uint64 {
	at := cellsAt + uint64(slot)*64
	if atomic.LoadUint32(p.word(at)) == term && atomic.LoadUint32(p.word(at+cellEpoch)) == epoch {
		return at
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	has := atomic.LoadUint32(p.word(at))
	if has != 0 && int32(term-has) < 0 {
		return 0
	}
	if has != term { // who reads it meanwhile sees that it is nobody's
		atomic.StoreUint32(p.word(at), 0)
		for word := at + 4; word < at+64; word += 4 {
			atomic.StoreUint32(p.word(word), 0)
		}
		atomic.StoreUint32(p.word(at), term)
	}
	if was := atomic.LoadUint32(p.word(at + cellEpoch)); was != epoch { // picks of long ago are forgotten
		kept := uint32(0)
		if was+1 == epoch {
			kept = atomic.LoadUint32(p.word(at+cellInFlight)) - atomic.LoadUint32(p.word(at+cellOlder))
		}
		atomic.StoreUint32(p.word(at+cellInFlight), kept)
		atomic.StoreUint32(p.word(at+cellOlder), kept)
		atomic.StoreUint32(p.word(at+cellRetries), 0)
		atomic.StoreUint32(p.word(at+cellEpoch), epoch)
	}
	return at
}

// tell hands the page to the agent that has not got it, or wakes one that reads no pages just now.
func (p *page) tell(dir string, f *file) {
	if p.file.Load() == f && f.load32(headerCollecting) != 0 {
		return
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.agent != nil && p.file.Load() == f {
		if time.Since(p.woken) < pause {
			return
		}
		p.woken = time.Now()
		p.agent.SetWriteDeadline(p.woken.Add(time.Millisecond)) // an agent that is stopped holds nobody up
		if _, err := p.agent.Write([]byte{0}); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
	if p.file.Load() == f && time.Since(p.tried) < look {
		return
	}
	if p.agent != nil {
		p.agent.Close()
	}
	p.agent, p.tried = nil, time.Now()
	p.file.Store(f)
	agent, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: filepath.Join(dir, "feedback.sock"), Net: "unixpacket"})
	if err != nil {
		return
	}
	hello := struct {
		magic           uint64
		layout, counted uint32
	}{pageMagic, pageLayout, p.counted}
	if _, _, err = agent.WriteMsgUnix((*[16]byte)(unsafe.Pointer(&hello))[:], syscall.UnixRights(p.fd), nil); err != nil {
		agent.Close()
		return
	}
	p.agent, p.counted = agent, 1
}

// The machine's monotonic clock, which the agent and all processes have in common.
var clockBegan, clockBase = time.Now(), func() int64 {
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}()

func clock() int64 {
	return clockBase + time.Since(clockBegan).Nanoseconds()
}

func epochAt(ns int64) uint32 {
	return uint32(ns>>epochShift)&0x3fffff + 1
}

// A Call is one that has begun and is to be reported.
type Call struct {
	service    *Service
	slot, term uint32
	epoch      uint32 // 0: it is not counted
	retries    uint32 // 1: it is one
	began      time.Time
}

// ErrBudget: the processes of this host retry the service as much as they may.
var ErrBudget = errors.New("perigee: the budget for retries is used up")

// Begin counts a call to an endpoint as in flight, for the whole host, until it is Done.
func (s *Service) Begin(e Endpoint) Call {
	return s.begin(e, 0)
}

// Retry begins a call that went wrong elsewhere, if the host's budget has room for it.
func (s *Service) Retry(e Endpoint) (Call, error) {
	if !s.mayRetry() {
		return Call{}, ErrBudget
	}
	return s.begin(e, 1), nil
}

func (s *Service) mayRetry() bool {
	calls, retries := atomic.LoadUint32(&s.inFlight), atomic.LoadUint32(&s.retries)
	if retries < partOf(calls) {
		return true // nobody else, whatever it says, uses up what is this process's own part
	}
	if v := s.snapshot.Load(); v != nil && v.file.agentLives() {
		calls = most(calls, v.file.load32(v.entry+entryInFlight))
		retries = most(retries, v.file.load32(v.entry+entryRetries))
	}
	return retries < most(partOf(calls), retryLeast)
}

func partOf(calls uint32) uint32 {
	return uint32(uint64(calls) * retryPercent / 100)
}

func most(a, b uint32) uint32 {
	if a > b {
		return a
	}
	return b
}

func (s *Service) begin(e Endpoint, retries uint32) Call {
	now := clock()
	call := Call{service: s, slot: e.Slot, term: e.SlotTerm, retries: retries, began: time.Now()}
	atomic.AddUint32(&s.inFlight, 1)
	atomic.AddUint32(&s.retries, retries)
	p := s.catalog.countsOn()
	if p == nil || e.Slot == 0 || e.Slot >= slotsMax {
		return call
	}
	epoch := epochAt(now)
	if at := p.cell(e.Slot, e.SlotTerm, epoch); at != 0 {
		atomic.AddUint32(p.word(at+cellInFlight), 1)
		atomic.AddUint32(p.word(at+cellRetries), retries)
		atomic.StoreUint32(p.word(at+cellPicked), uint32(now/1000000)|1)
		p.announce(e.Slot)
		call.epoch = epoch
	}
	p.tell(filepath.Dir(s.catalog.path), s.catalog.follow(nil))
	return call
}

// Done reports how the call went, once: balancers that go by load and the agent's outlier detection
// live on that.
func (c *Call) Done(outcome Outcome) {
	s := c.service
	if s == nil || outcome < Success || outcome > ConnectFailure {
		return
	}
	c.service = nil
	atomic.AddUint32(&s.inFlight, ^uint32(0))
	atomic.AddUint32(&s.retries, -c.retries)
	if c.epoch == 0 {
		return
	}
	p, epoch := s.catalog.page.Load(), epochAt(clock())
	if at := p.cell(c.slot, c.term, epoch); at != 0 {
		switch epoch {
		case c.epoch:
			atomic.AddUint32(p.word(at+cellInFlight), ^uint32(0))
			atomic.AddUint32(p.word(at+cellRetries), -c.retries)
		case c.epoch + 1: // whose beginning forgot the retries before it
			atomic.AddUint32(p.word(at+cellInFlight), ^uint32(0))
			atomic.AddUint32(p.word(at+cellOlder), ^uint32(0))
		}
		atomic.AddUint32(p.word(at+cellOutcomes+uint64(outcome)*4), 1)
		if outcome == Success {
			atomic.AddUint64((*uint64)(unsafe.Pointer(&p.bytes[at+cellSum])), uint64(time.Since(c.began)))
		}
		p.announce(c.slot)
	}
	p.tell(filepath.Dir(s.catalog.path), s.catalog.follow(nil))
}
