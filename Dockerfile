# A static binary on an empty image, as an unprivileged user.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# docker build --build-arg VERSION=$(git describe --tags --always --dirty) .
ARG VERSION=unreleased
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$VERSION" -o /relay ./cmd/relay

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /relay /relay
USER 65534:65534
EXPOSE 8080
# The process alone: a database that is away is not mended by a restart.
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 CMD ["/relay", "healthcheck"]
ENTRYPOINT ["/relay"]
CMD ["serve"]
