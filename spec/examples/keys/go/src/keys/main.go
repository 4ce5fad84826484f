// keys.lua in Go.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	"perigee"
)

func keyOf(i int) string {
	key := strings.Repeat("k", i%70)
	if i%3 == 0 {
		key += "ü"
	}
	if i > 0 {
		key += strconv.Itoa(i)
	}
	return key
}

func main() {
	catalog, err := perigee.Open("")
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range os.Args[1:] {
		service := catalog.Service(name)
		for i := 0; i < 1000; i++ {
			var tried []perigee.Endpoint
			var ids []string
			for n := 0; n < 6; n++ {
				e, err := service.Pick(perigee.Key(keyOf(i)), perigee.Port("admin"), perigee.Avoid(tried...))
				if err != nil {
					log.Fatal(err)
				}
				tried, ids = append(tried, e), append(ids, fmt.Sprintf("%s:%d", e.ID, e.Port))
			}
			fmt.Printf("%s\t%d\t%s\n", name, i, strings.Join(ids, " "))
		}
	}
}
