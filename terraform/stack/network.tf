# The way from the gateway to the GPU service, and, with `vpc`, the only way out.
#
# The GPU service takes requests from inside only. A request of one Cloud Run service to another
# counts as inside only if it went through a VPC network whose subnetwork has Private Google Access
# (cloud.google.com/run/docs/securing/ingress, read 2026-11-21); Pub/Sub of the same project counts
# as it is. So a small network is part of every stack. Nothing of it costs while nobody calls, but
# for the DNS zone: 0.20 USD a month (cloud.google.com/dns/pricing, list price, 2026-11-21).
#
# By default only calls to *.run.app go through it: DNS inside the network answers that name with
# private.googleapis.com, which PRIVATE_RANGES_ONLY sends through the network. Everything else the
# gateway calls leaves as it would without a network, so no NAT is needed
# (cloud.google.com/run/docs/securing/private-networking).
#
# What a workload has to know:
#   gateway            vpc_access = local.network, always: without it the GPU service answers 404.
#   service, functions vpc_access = local.egress, null unless `vpc` is on.

locals {
  # An own network a stack: ranges of two stacks never meet, so all have the same.
  network_range = "10.66.0.0/24" # Cloud Run wants /26 at least, and two addresses an instance.

  # private.googleapis.com: the addresses that lead to Google and nowhere else.
  google_addresses = ["199.36.153.8", "199.36.153.9", "199.36.153.10", "199.36.153.11"]
  google_range     = "199.36.153.8/30"

  network = {
    network    = google_compute_network.stack.id
    subnetwork = google_compute_subnetwork.stack.id
    egress     = var.vpc ? "ALL_TRAFFIC" : "PRIVATE_RANGES_ONLY"
  }
  egress = var.vpc ? local.network : null
}

resource "google_compute_network" "stack" {
  project                         = var.project
  name                            = "${var.name}-network"
  description                     = "From the gateway to the GPU service of ${var.name}"
  auto_create_subnetworks         = false
  delete_default_routes_on_create = true
}

# Cloud Run gives addresses back one to two hours after its services are gone. Until then Google
# refuses to delete this: a second `terraform destroy` after two hours finishes the first.
resource "google_compute_subnetwork" "stack" {
  project                  = var.project
  region                   = var.region
  name                     = "${var.name}-network"
  network                  = google_compute_network.stack.id
  ip_cidr_range            = local.network_range
  private_ip_google_access = true

  # Who called what, a tenth of it: about 0.50 USD a GiB of such logs, nothing while idle.
  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

# The one way out: to Google.
resource "google_compute_route" "google" {
  project          = var.project
  name             = "${var.name}-google"
  network          = google_compute_network.stack.id
  dest_range       = local.google_range
  next_hop_gateway = "default-internet-gateway"
}

resource "google_dns_managed_zone" "run" {
  project     = var.project
  name        = "${var.name}-run"
  description = "Calls of one service to another stay inside"
  dns_name    = "run.app."
  visibility  = "private"

  force_destroy = true # a name somebody added is in nobody's way

  private_visibility_config {
    networks {
      network_url = google_compute_network.stack.id
    }
  }
}

resource "google_dns_record_set" "run" {
  project      = var.project
  managed_zone = google_dns_managed_zone.run.name
  name         = "*.run.app."
  type         = "A"
  ttl          = 300
  rrdatas      = local.google_addresses
}

# With `vpc` everything that gateway, service and functions call goes through the network: Google
# without leaving it, OpenAI and web hooks over TLS from one address that others can allow.
# Starts take up to 30 s longer then, and Cloud Run does not log what the firewall refused
# (cloud.google.com/run/docs/configuring/vpc-direct-vpc, Limitations, read 2026-11-21).

resource "google_compute_route" "out" {
  count = var.vpc ? 1 : 0

  project          = var.project
  name             = "${var.name}-out"
  network          = google_compute_network.stack.id
  dest_range       = "0.0.0.0/0"
  next_hop_gateway = "default-internet-gateway"
}

resource "google_compute_firewall" "tls" {
  count = var.vpc ? 1 : 0

  project            = var.project
  name               = "${var.name}-out-tls"
  network            = google_compute_network.stack.id
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = ["0.0.0.0/0"]

  allow {
    protocol = "tcp"
    ports    = ["443"]
  }
}

resource "google_compute_firewall" "nothing_else" {
  count = var.vpc ? 1 : 0

  project            = var.project
  name               = "${var.name}-out-nothing-else"
  network            = google_compute_network.stack.id
  direction          = "EGRESS"
  priority           = 65000
  destination_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
}

resource "google_compute_address" "out" {
  count = var.vpc ? 1 : 0

  project = var.project
  region  = var.region
  name    = "${var.name}-out"
}

resource "google_compute_router" "out" {
  count = var.vpc ? 1 : 0

  project = var.project
  region  = var.region
  name    = "${var.name}-out"
  network = google_compute_network.stack.id
}

resource "google_compute_router_nat" "out" {
  count = var.vpc ? 1 : 0

  project                            = var.project
  region                             = var.region
  name                               = "${var.name}-out"
  router                             = google_compute_router.out[0].name
  nat_ip_allocate_option             = "MANUAL_ONLY"
  nat_ips                            = [google_compute_address.out[0].self_link]
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.stack.self_link
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}
