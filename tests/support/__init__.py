"""What several test modules share: data, hosts, servers, a browser, and the command line as a function."""
