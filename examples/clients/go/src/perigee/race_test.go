package perigee

import (
	"sync"
	"testing"
	"time"
)

// For `go test -race`: all of a Service's functions at once, while the agent in PERIGEE_RUN_DIR publishes.
func TestTogether(t *testing.T) {
	catalog, err := Open("")
	if err != nil {
		t.Skip("no agent: ", err)
	}
	service, end := catalog.Service("web"), time.Now().Add(2*time.Second)
	var all sync.WaitGroup
	for _, work := range []func(){
		func() {
			_, version, _ := service.List()
			service.Wait(version)
		},
		func() {
			e, err := service.Pick()
			if err != nil {
				t.Error(err)
			}
			first := service.Begin(e)
			if other, err := service.Pick(Avoid(e), Key("a key")); err == nil {
				if again, err := service.Retry(other); err == nil {
					again.Done(ServerError)
				}
			}
			first.Done(Success)
		},
	} {
		for i := 0; i < 4; i++ {
			all.Add(1)
			go func(work func()) {
				defer all.Done()
				for time.Now().Before(end) && !t.Failed() {
					work()
				}
			}(work)
		}
	}
	all.Wait()
}
