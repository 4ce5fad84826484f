// Go kit's sd/lb: its round robin over a fixed list and through an Endpointer that follows an
// Instancer, and its Retry around that, of calls that succeed at once. Built with measure.go and
// Debian's golang-github-go-kit-kit-dev.
package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/log"
	"github.com/go-kit/kit/sd"
	"github.com/go-kit/kit/sd/lb"
)

func call(context.Context, interface{}) (interface{}, error) { return nil, nil }

func picks(b lb.Balancer) operation {
	return func(count int) (used int) {
		for i := 0; i < count; i++ {
			e, err := b.Endpoint()
			if err != nil {
				panic(err)
			}
			if e != nil {
				used++
			}
		}
		return used
	}
}

func retries(b lb.Balancer) operation {
	try := lb.Retry(3, 5*time.Second, b)
	return func(count int) (used int) {
		for i := 0; i < count; i++ {
			if _, err := try(context.Background(), nil); err != nil {
				panic(err)
			}
			used++
		}
		return used
	}
}

func main() {
	var fixed sd.FixedEndpointer
	var instances sd.FixedInstancer
	for i := 0; i < endpoints; i++ {
		fixed = append(fixed, call)
		instances = append(instances, fmt.Sprintf("10.0.0.%d:80", i))
	}
	factory := func(string) (endpoint.Endpoint, io.Closer, error) { return call, nil, nil }
	follows := sd.NewEndpointer(instances, factory, log.NewNopLogger())
	for ready := 0; ready == 0; time.Sleep(time.Millisecond) {
		list, _ := follows.Endpoints()
		ready = len(list)
	}
	measure("go-kit round robin", 2000000, picks(lb.NewRoundRobin(fixed)))
	measure("go-kit round robin, its endpointer", 2000000, picks(lb.NewRoundRobin(follows)))
	measure("go-kit Retry around a pick", 100000, retries(lb.NewRoundRobin(follows)))
}
