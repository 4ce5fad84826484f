module perigee

go 1.19
