// Package resolver lets grpc-go resolve perigee:///NAME, and pick as the agent says. Import it for its
// effect:
//
//	import _ "perigee/resolver"
//	conn, err := grpc.Dial("perigee:///web",
//		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"perigee": {}}]}`), ...)
package resolver

import (
	"sync/atomic"

	"google.golang.org/grpc/attributes"
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
	w := &watcher{service: catalog.Service(target.Endpoint), cc: cc} // from grpc-go 1.53 on: Endpoint()
	go w.run()
	return w, nil
}

// A watcher tells gRPC of each version of one service.
type watcher struct {
	service *perigee.Service
	cc      resolver.ClientConn
	known   map[identity]*attributes.Attributes // of those that were told
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
	addresses, known := make([]resolver.Address, len(endpoints)), map[identity]*attributes.Attributes{}
	for i, e := range endpoints {
		about := w.known[identityOf(e)]
		if about == nil { // an address with other attributes would be another address to gRPC
			about = attributes.New(instanceKey{}, &instance{w.service, e})
		}
		known[identityOf(e)] = about
		addresses[i] = resolver.Address{Addr: e.HostPort(), Attributes: about}
	}
	w.known = known
	w.cc.UpdateState(resolver.State{Addresses: addresses})
}
