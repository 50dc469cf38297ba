# The GPU service, the gateway and what they need, as plans.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "4711" }
  }
}

variables {
  project = "my-recordings"
  region  = "europe-west4"
  viewers = ["group:listeners@example.com"]
  images = {
    service = "europe-west4-docker.pkg.dev/my-recordings/ew-images/service@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    gateway = "europe-west4-docker.pkg.dev/my-recordings/ew-images/gateway@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
  }
}

# Resources of a stack are not seen from here; the modules are tested by themselves.

run "one_service_for_both_lanes" {
  command = plan

  assert {
    condition     = output.stacks["home"].page == "https://ew-gateway-4711.europe-west4.run.app/"
    error_message = "The page is at the address by the project's number."
  }
}

run "without_images_the_next_command_builds_them" {
  command = plan

  variables {
    images = null
  }

  assert {
    condition     = output.stacks["home"].page == null && strcontains(output.stacks["home"].next, "cloudbuild.yaml")
    error_message = "Before the first build there is no page, and the output says how to build."
  }
}

run "two_regions_have_a_page_each" {
  command = plan

  variables {
    regions = { us = { region = "us-central1" } }
  }

  assert {
    condition     = output.stacks["us"].page == "https://ew-us-gateway-4711.us-central1.run.app/"
    error_message = "The second stack's page is in its own region."
  }
}

run "no_gpu" {
  command = plan

  variables {
    gpu = null
  }

  assert {
    condition     = output.stacks["home"].page == "https://ew-gateway-4711.europe-west4.run.app/"
    error_message = "Without a GPU there is a page all the same; tests/terraform looks at the machines."
  }
}

run "two_services_on_large_cards_with_everything_on" {
  command = plan

  variables {
    gpu                = { accelerator = "nvidia-rtx-pro-6000", services = "two", max_instances = 2 }
    zonal_redundancy   = true
    high_min_instances = 1
    openai             = true
    engines            = { qwen = { kind = "qwen2_audio", checkpoint = "gs://bucket/qwen", device = "cuda", dtype = "bfloat16" } }
    cascade            = { transcribe = ["qwen", "whisper"] }
  }

  assert {
    condition     = output.stacks["home"].page == "https://ew-gateway-4711.europe-west4.run.app/"
    error_message = "With two services there is one page; tests/terraform looks at the machines."
  }
}

run "an_unknown_task_has_no_cascade" {
  command = plan

  variables {
    cascade = { sing = ["whisper"] }
  }

  expect_failures = [var.cascade]
}

run "an_engine_without_a_kind_is_refused" {
  command = plan

  variables {
    engines = { qwen = { checkpoint = "gs://bucket/qwen" } }
  }

  expect_failures = [var.engines]
}

run "engines_that_are_no_map_are_refused" {
  command = plan

  variables {
    engines = "whisper"
  }

  expect_failures = [var.engines]
}

run "the_machine_of_an_l4" {
  command = plan

  module {
    source = "./modules/run_service"
  }

  variables {
    concurrency       = 64
    cpu               = "4"
    cpu_idle          = false
    delete_protection = true
    environment       = { EARWITNESS_BACKEND = "gcp" }
    gpu               = { accelerator = "nvidia-l4", zonal_redundancy = false }
    identity          = "ew-service@my-recordings.iam.gserviceaccount.com"
    image             = "images/service@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    ingress           = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    invokers          = { push = "serviceAccount:ew-push@my-recordings.iam.gserviceaccount.com" }
    max_instances     = 3
    memory            = "16Gi"
    name              = "ew-service"
    probes            = { started = "/readyz", alive = "/livez", start_s = 120 }
    project_number    = "4711"
    timeout_s         = 3600
    weights           = { bucket = "weights", path = "/weights" }
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].node_selector[0].accelerator == "nvidia-l4" && google_cloud_run_v2_service.this.template[0].gpu_zonal_redundancy_disabled
    error_message = "The L4 is asked for, in one zone."
  }
  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].limits == tomap({ cpu = "4", memory = "16Gi", "nvidia.com/gpu" = "1" })
    error_message = "One GPU, and the CPU and memory that it demands."
  }
  assert {
    condition     = google_cloud_run_v2_service.this.template[0].volumes[0].gcs[0].read_only && google_cloud_run_v2_service.this.template[0].execution_environment == "EXECUTION_ENVIRONMENT_GEN2"
    error_message = "Weights are mounted read-only, which the second generation can."
  }
  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].startup_probe[0].failure_threshold == 12 && google_cloud_run_v2_service.this.template[0].containers[0].startup_probe[0].http_get[0].path == "/readyz"
    error_message = "120 s to start are twelve looks, ten seconds apart."
  }
  assert {
    condition     = google_cloud_run_v2_service.this.deletion_protection && output.uri == "https://ew-service-4711.europe-west4.run.app"
    error_message = "Destroy is refused, and the address is known before anything is made."
  }
}

run "a_tag_is_no_image" {
  command = plan

  module {
    source = "./modules/run_service"
  }

  variables {
    concurrency       = 250
    cpu               = "1"
    delete_protection = false
    environment       = {}
    identity          = "ew-gateway@my-recordings.iam.gserviceaccount.com"
    image             = "images/gateway:latest"
    ingress           = "INGRESS_TRAFFIC_ALL"
    invokers          = {}
    max_instances     = 1
    memory            = "2Gi"
    name              = "ew-gateway"
    probes            = { start_s = 60 }
    project_number    = "4711"
    timeout_s         = 3600
  }

  expect_failures = [var.image]
}

run "no_stream_and_no_start_lasts_longer_than_cloud_run_allows" {
  command = plan

  module {
    source = "./modules/run_service"
  }

  variables {
    concurrency       = 250
    cpu               = "1"
    delete_protection = false
    environment       = {}
    identity          = "ew-gateway@my-recordings.iam.gserviceaccount.com"
    image             = "images/gateway@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    ingress           = "INGRESS_TRAFFIC_ALL"
    invokers          = {}
    max_instances     = 1
    memory            = "2Gi"
    name              = "ew-gateway"
    probes            = { start_s = 241 }
    project_number    = "4711"
    timeout_s         = 3601
  }

  expect_failures = [var.probes, var.timeout_s]
}
