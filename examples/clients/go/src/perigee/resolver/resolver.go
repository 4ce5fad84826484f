// Package resolver lets grpc-go resolve perigee:///NAME. Import it for its effect:
//
//	import _ "perigee/resolver"
//	conn, err := grpc.Dial("perigee:///web", ...)
package resolver

import (
	"sync/atomic"

	"google.golang.org/grpc/resolver"
	"perigee"
)

func init() {
	resolver.Register(builder{})
}

type builder struct{}

func (builder) Scheme() string {
	return "perigee"
}

func (builder) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	catalog, err := perigee.Open("")
	if err != nil {
		return nil, err
	}
	w := &watcher{service: catalog.Service(target.Endpoint), cc: cc}
	go w.run()
	return w, nil
}

// A watcher tells gRPC of each version of one service.
type watcher struct {
	service *perigee.Service
	cc      resolver.ClientConn
	closed  uint32
}

// ResolveNow has nothing to do: what is known is told at once.
func (w *watcher) ResolveNow(resolver.ResolveNowOptions) {}

// Close ends the watcher within a second; gRPC ignores what it may still say.
func (w *watcher) Close() {
	atomic.StoreUint32(&w.closed, 1)
}

func (w *watcher) run() {
	told := uint64(0)
	for atomic.LoadUint32(&w.closed) == 0 {
		endpoints, version, err := w.service.List()
		switch {
		case err != nil && told == 0:
			w.cc.ReportError(err) // afterwards the last list stays
		case err == nil && version != told:
			w.tell(endpoints)
			told = version
		}
		w.service.Wait(version)
	}
}

func (w *watcher) tell(endpoints []perigee.Endpoint) {
	addresses := make([]resolver.Address, len(endpoints))
	for i, e := range endpoints {
		addresses[i].Addr = e.HostPort()
	}
	w.cc.UpdateState(resolver.State{Addresses: addresses})
}
