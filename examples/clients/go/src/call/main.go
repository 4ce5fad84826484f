// call SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each call from
// the catalog. A call that fails is tried again on another endpoint, twice at most.
package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"perigee"
)

const tries = 3

var client = http.Client{Timeout: time.Second}

// outcome is what the agent is told of a call: whom not to call for a while depends on it.
func outcome(err error) perigee.Outcome {
	var network *net.OpError
	switch {
	case err == nil:
		return perigee.Success
	case os.IsTimeout(err):
		return perigee.Timeout
	case errors.As(err, &network) && network.Op == "dial":
		return perigee.ConnectFailure
	}
	return perigee.ServerError
}

func get(e perigee.Endpoint) error {
	response, err := client.Get("http://" + e.HostPort() + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it said %s", response.Status)
	}
	return nil
}

func begin(s *perigee.Service, e perigee.Endpoint, retry bool) (perigee.Call, error) {
	if retry {
		return s.Retry(e)
	}
	return s.Begin(e), nil
}

func call(s *perigee.Service) {
	var tried []perigee.Endpoint
	for try := 0; try < tries; try++ {
		e, err := s.Pick(perigee.Avoid(tried...))
		if err != nil {
			fmt.Println("nothing", err)
			return
		}
		begun, err := begin(s, e, try > 0)
		if err != nil {
			fmt.Println("nothing", err)
			return
		}
		err = get(e)
		begun.Done(outcome(err))
		if err == nil {
			fmt.Println("ok", e.HostPort(), e.ID)
			return
		}
		fmt.Println("failed", e.HostPort(), err)
		tried = append(tried, e)
	}
}

func main() {
	rate := 10.0
	if len(os.Args) == 3 {
		rate, _ = strconv.ParseFloat(os.Args[2], 64)
	}
	if len(os.Args) < 2 || len(os.Args) > 3 || rate < 0.1 || rate > 1000 {
		fmt.Fprintln(os.Stderr, "usage: call SERVICE [CALLS-A-SECOND]")
		os.Exit(2)
	}
	catalog, err := perigee.Open("")
	if err != nil {
		fmt.Fprintln(os.Stderr, "call:", err)
		os.Exit(1)
	}
	service := catalog.Service(os.Args[1])
	for range time.Tick(time.Duration(float64(time.Second) / rate)) {
		call(service)
	}
}
