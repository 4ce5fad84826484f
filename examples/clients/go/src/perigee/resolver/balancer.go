package resolver

import (
	"context"
	"math/rand"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"perigee"
)

// The balancer "perigee" picks as the catalog says, weights and zones and ejections in it, among the
// connections that gRPC has, and reports how each call went:
//
//	grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"perigee": {}}]}`)
const balancerName = "perigee"

// So often another one is picked when gRPC is not connected to what was picked.
const tries = 8

type keyOf struct{}

// WithKey is for calls of a service whose balancer goes by a key: those with the same key go to the same
// endpoint, from every process of the host.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}

func init() {
	balancer.Register(base.NewBalancerBuilder(balancerName, pickers{}, base.Config{}))
}

// An instance is what an address is of: the one for life, so that gRPC keeps its connection.
type instance struct {
	service  *perigee.Service
	endpoint perigee.Endpoint
}

type instanceKey struct{}

// Which instance an endpoint is, whatever it is called just now.
type identity struct{ slot, term uint32 }

func identityOf(e perigee.Endpoint) identity {
	return identity{e.Slot, e.SlotTerm}
}

type connected struct {
	conn     balancer.SubConn
	endpoint perigee.Endpoint
}

type picker struct {
	service *perigee.Service
	conns   map[identity]balancer.SubConn
	all     []connected
}

type pickers struct{}

func (pickers) Build(info base.PickerBuildInfo) balancer.Picker {
	p := &picker{conns: map[identity]balancer.SubConn{}}
	for conn, about := range info.ReadySCs {
		if i, ok := about.Address.Attributes.Value(instanceKey{}).(*instance); ok {
			p.service = i.service
			p.conns[identityOf(i.endpoint)] = conn
			p.all = append(p.all, connected{conn, i.endpoint})
		}
	}
	if p.service == nil {
		return base.NewErrPicker(balancer.ErrNoSubConnAvailable)
	}
	return p
}

func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	var absent []perigee.Endpoint
	for len(absent) < tries {
		options := []perigee.Option{perigee.Avoid(absent...)}
		if key, ok := info.Ctx.Value(keyOf{}).(string); ok {
			options = append(options, perigee.Key(key))
		}
		e, err := p.service.Pick(options...)
		if err != nil {
			break
		}
		if conn := p.conns[identityOf(e)]; conn != nil {
			return p.begin(conn, e), nil
		}
		absent = append(absent, e)
	}
	any := p.all[rand.Intn(len(p.all))]
	return p.begin(any.conn, any.endpoint), nil
}

func (p *picker) begin(conn balancer.SubConn, e perigee.Endpoint) balancer.PickResult {
	call := p.service.Begin(e)
	return balancer.PickResult{SubConn: conn, Done: func(info balancer.DoneInfo) { call.Done(outcome(info)) }}
}

// outcome: what the caller did wrong is no fault of the endpoint's.
func outcome(info balancer.DoneInfo) perigee.Outcome {
	switch status.Code(info.Err) {
	case codes.DeadlineExceeded:
		return perigee.Timeout
	case codes.Unavailable, codes.Internal, codes.DataLoss, codes.Unknown:
		if !info.BytesSent {
			return perigee.ConnectFailure
		}
		return perigee.ServerError
	}
	return perigee.Success
}
