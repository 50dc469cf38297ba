output "stacks" {
  description = "Of each stack: where to drop recordings, and where the page is."
  value       = { for key, one in module.stack : key => one.addresses }
}
