# Wrong variables are refused in a sentence before anything is planned, and right ones at the same
# limit are not. A run takes a second, so the wrong values of variables that know nothing of each
# other share one: each is wrong as its comment or the run's name says, and every one must object.
# Tenants know regions, and are not looked at where those are wrong.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "4711" }
  }
}

variables {
  project = "my-recordings-4711"
  region  = "europe-west4"
  viewers = ["group:listeners@example.com"]
}

run "the_outermost_that_is_right" {
  command = plan

  variables {
    archive_after_days = 1
    audit              = { retention_days = 1 }
    project            = "abcdef"
    prefix             = "ew12345"
    region             = "asia-south2"
    soft_delete        = "604800s"
    regions = {
      a    = { region = "europe-west4" }
      b123 = { region = "us-central1" }
    }
    tenants = {
      abc                                        = { tier = "enterprise", stack = "b123", writers = ["domain:acme.example"] }
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" = { tier = "pro" }
      "0-0"                                      = {}
    }
    gpu                = { accelerator = "nvidia-rtx-pro-6000", services = "two", max_instances = 1 }
    high_min_instances = 1
    zonal_redundancy   = true
    images = {
      service = "images/service@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      gateway = "images/gateway@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    }
    edge         = { domain = "a.io", allow = ["203.0.113.7/32", "2001:db8::/32", "0.0.0.0/0"], requests_per_minute = 1 }
    budget       = { billing_account = "01ABCD-EF0123-456789", amount = 1, warn_at = [0.01, 10] }
    alert_emails = ["a.b+c@mail.example.co.uk"]
    viewers = [
      "user:ada@example.com", "group:listeners@example.com", "domain:example.com",
      "serviceAccount:page@other-project.iam.gserviceaccount.com",
      "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/ada",
      "principalSet://iam.googleapis.com/locations/global/workforcePools/staff/group/listeners",
    ]
  }
}

run "the_other_end_is_right_too" {
  command = plan

  variables {
    soft_delete        = "7776000s"
    tenants            = {}
    project            = "abcdefghijklmnopqrstuvwxyz-123"
    prefix             = "ew"
    edge               = { domain = "a-1.ears.example.com", allow = ["192.0.2.0/24"], requests_per_minute = 1000000 }
    high_min_instances = 3
    audit              = { retention_days = 36500, locked = true }
    archive_after_days = 3650
  }
}

run "cpus_are_everywhere" {
  command = plan

  variables {
    soft_delete        = "0s"
    archive_after_days = null
    region             = "europe-west3"
    gpu                = null
    high_min_instances = 3
  }
}

run "a_region_that_is_not_there" {
  command = plan

  variables {
    region = "europe-west5"
    # An address without at.
    alert_emails = ["ops"]
    # A billing account in small letters.
    budget = { billing_account = "01abcd-ef0123-456789", amount = 100, warn_at = [0.5] }
    # A domain with https.
    edge = { domain = "https://ears.example.com", allow = ["192.0.2.0/24"], requests_per_minute = 600 }
    # An image by tag.
    images = { service = "images/service:latest", gateway = "images/gateway@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" }
    # One short of the shortest.
    prefix = "e"
    # One short of the shortest.
    project = "abcde"
    # Everybody.
    viewers = ["group:listeners@example.com", "allUsers"]
    # A duration in days.
    soft_delete = "7d"
    # At once.
    archive_after_days = 0
  }

  expect_failures = [var.alert_emails, var.archive_after_days, var.budget, var.edge, var.images, var.prefix, var.project, var.region, var.soft_delete, var.viewers]
}

run "a_second_region_that_is_not_there" {
  command = plan

  variables {
    regions = { a = { region = "europe-west44" } }
    # An address without an end.
    alert_emails = ["ops@example"]
    # A billing account by its name.
    budget = { billing_account = "Our bills", amount = 100, warn_at = [0.5] }
    # A domain with a path.
    edge = { domain = "example.com/ears", allow = ["192.0.2.0/24"], requests_per_minute = 600 }
    # A digest cut short.
    images = { service = "images/service@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", gateway = "images/gateway@sha256:bbbb" }
    # One past the longest.
    prefix = "ew123456"
    # One past the longest.
    project = "abcdefghijklmnopqrstuvwxyz-1234"
    # Everybody with an account.
    viewers = ["group:listeners@example.com", "allAuthenticatedUsers"]
    # A duration without its unit.
    soft_delete = "604800"
    # One past the longest.
    archive_after_days = 3651
  }

  expect_failures = [var.alert_emails, var.archive_after_days, var.budget, var.edge, var.images, var.prefix, var.project, var.regions, var.soft_delete, var.viewers]
}

run "a_zone_is_no_region" {
  command = plan

  variables {
    region = "europe-west4-a"
    # Two addresses in one.
    alert_emails = ["a@example.com,b@example.com"]
    # A budget of nothing.
    budget = { billing_account = "01ABCD-EF0123-456789", amount = 0, warn_at = [0.5] }
    # A domain without a dot.
    edge = { domain = "ears", allow = ["192.0.2.0/24"], requests_per_minute = 600 }
    # Capitals.
    prefix = "eW"
    # Capitals.
    project = "My-recordings"
    # A viewer without a kind.
    viewers = ["group:listeners@example.com", "ada@example.com"]
    # Half a second.
    soft_delete = "604800.5s"
    # Half a day.
    archive_after_days = 30.5
  }

  expect_failures = [var.alert_emails, var.archive_after_days, var.budget, var.edge, var.prefix, var.project, var.region, var.soft_delete, var.viewers]
}

run "home_is_the_first_stack" {
  command = plan

  variables {
    regions = { home = { region = "us-east4" } }
    # A budget with a fraction.
    budget = { billing_account = "01ABCD-EF0123-456789", amount = 99.5, warn_at = [0.5] }
    # Nobody may ask.
    edge = { domain = "ears.example.com", allow = [], requests_per_minute = 600 }
    # Begins with a digit.
    prefix = "1ew"
    # Begins with a digit.
    project = "4711-recordings"
    # A group without a domain.
    viewers = ["group:listeners@example.com", "group:listeners"]
    # Less than nothing.
    soft_delete = "-1s"
  }

  expect_failures = [var.budget, var.edge, var.prefix, var.project, var.regions, var.soft_delete, var.viewers]
}

run "a_key_of_five_letters" {
  command = plan

  variables {
    regions = { abcde = { region = "us-east4" } }
    # A budget that never warns.
    budget = { billing_account = "01ABCD-EF0123-456789", amount = 100, warn_at = [] }
    # An address without its length.
    edge = { domain = "ears.example.com", allow = ["203.0.113.7"], requests_per_minute = 600 }
    # Ends with a hyphen.
    project = "my-recordings-"
    # A domain without an end.
    viewers = ["group:listeners@example.com", "domain:example"]
    # A second short of the least.
    soft_delete = "604799s"
  }

  expect_failures = [var.budget, var.edge, var.project, var.regions, var.soft_delete, var.viewers]
}

run "a_key_in_capitals" {
  command = plan

  variables {
    regions = { US = { region = "us-east4" } }
    # A warning at nothing.
    budget = { billing_account = "01ABCD-EF0123-456789", amount = 100, warn_at = [0] }
    # A network of 33 bits.
    edge = { domain = "ears.example.com", allow = ["192.0.2.0/24", "203.0.113.0/33"], requests_per_minute = 600 }
    # A person who is gone.
    viewers = ["group:listeners@example.com", "deleted:user:ada@example.com?uid=1"]
    # A second past the most.
    soft_delete = "7776001s"
  }

  expect_failures = [var.budget, var.edge, var.regions, var.soft_delete, var.viewers]
}

run "a_key_of_nothing" {
  command = plan

  variables {
    regions = { "" = { region = "us-east4" } }
    # A warning too late.
    budget = { billing_account = "01ABCD-EF0123-456789", amount = 100, warn_at = [0.5, 10.1] }
    # A name is no network.
    edge = { domain = "ears.example.com", allow = ["example.com"], requests_per_minute = 600 }
    # A viewer with a space.
    viewers = ["group:listeners@example.com", "user:ada lovelace@example.com"]
    # Neither nothing nor enough.
    soft_delete = "1s"
  }

  expect_failures = [var.budget, var.edge, var.regions, var.soft_delete, var.viewers]
}

run "the_first_region_again" {
  command = plan

  variables {
    regions = { nl = { region = "europe-west4" } }
    # No request a minute.
    edge = { domain = "ears.example.com", allow = ["192.0.2.0/24"], requests_per_minute = 0 }
    # A principal of somewhere else.
    viewers = ["group:listeners@example.com", "principal://example.com/subject/ada"]
    # No duration at all.
    soft_delete = ""
  }

  expect_failures = [var.edge, var.regions, var.soft_delete, var.viewers]
}

run "two_keys_of_one_region" {
  command = plan

  variables {
    regions = { a = { region = "us-east4" }, b = { region = "us-east4" } }
    # More requests than are counted.
    edge = { domain = "ears.example.com", allow = ["192.0.2.0/24"], requests_per_minute = 1000001 }
  }

  expect_failures = [var.edge, var.regions]
}

run "an_accelerator_that_is_none" {
  command = plan

  variables {
    gpu = { accelerator = "nvidia-h100" }
    # Half a request.
    edge = { domain = "ears.example.com", allow = ["192.0.2.0/24"], requests_per_minute = 0.5 }
    # A tier that is none.
    tenants = { acme = { tier = "gold" } }
  }

  expect_failures = [var.edge, var.gpu, var.tenants]
}

run "no_l4_in_the_region" {
  command = plan

  variables {
    region = "europe-west3"
  }

  expect_failures = [var.gpu]
}

run "no_rtx_where_l4_is" {
  command = plan

  variables {
    gpu    = { accelerator = "nvidia-rtx-pro-6000" }
    region = "europe-west1"
  }

  expect_failures = [var.gpu]
}

run "no_l4_in_the_second_region" {
  command = plan

  variables {
    regions = { us = { region = "us-west1" } }
  }

  expect_failures = [var.gpu]
}

run "three_services" {
  command = plan

  variables {
    gpu = { services = "three" }
    # A tier in capitals.
    tenants = { acme = { tier = "Pro" } }
  }

  expect_failures = [var.gpu, var.tenants]
}

run "no_instance_at_all" {
  command = plan

  variables {
    gpu = { max_instances = 0 }
    # A tenant in a stack that is not there.
    tenants = { acme = { stack = "us" } }
  }

  expect_failures = [var.gpu, var.tenants]
}

run "half_an_instance" {
  command = plan

  variables {
    gpu = { max_instances = 1.5 }
    # A tenant one short of the shortest.
    tenants = { ab = {} }
  }

  expect_failures = [var.gpu, var.tenants]
}

run "half_an_instance_ready" {
  command = plan

  variables {
    high_min_instances = 0.5
    # A tenant one past the longest.
    tenants = { aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = {} }
    # Half a day.
    audit = { retention_days = 0.5 }
  }

  expect_failures = [var.audit, var.high_min_instances, var.tenants]
}

run "less_than_no_instance_ready" {
  command = plan

  variables {
    high_min_instances = -1
    # A tenant in capitals.
    tenants = { Acme = {} }
    # No day at all.
    audit = { retention_days = 0 }
  }

  expect_failures = [var.audit, var.high_min_instances, var.tenants]
}

run "more_ready_than_there_may_be" {
  command = plan

  variables {
    high_min_instances = 4
    # A tenant that is a path.
    tenants = { "acme/../demo" = {} }
    # A day past a hundred years.
    audit = { retention_days = 36501 }
  }

  expect_failures = [var.audit, var.high_min_instances, var.tenants]
}

run "more_ready_than_cpus_may_be" {
  command = plan

  variables {
    gpu                = null
    high_min_instances = 4
    # Everybody writes.
    tenants = { acme = { writers = ["allUsers"] } }
  }

  expect_failures = [var.high_min_instances, var.tenants]
}

run "a_second_zone_of_no_gpu" {
  command = plan

  variables {
    gpu              = null
    zonal_redundancy = true
    # A writer without a kind.
    tenants = { acme = { writers = ["drops@acme.iam.gserviceaccount.com"] } }
  }

  expect_failures = [var.tenants, var.zonal_redundancy]
}
